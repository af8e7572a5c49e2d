// Who can take part in bench/relay.mts.
import type { ContestantSettings } from './span.mts'

export interface Contestant {
  readonly name: string
  readonly mode:
    | 'pg_recvlogical'
    | 'relay'
    | 'prototype'
    | 'read'
    | 'memory'
    | 'java'
    | 'debezium'
    | 'owlpost'
    | 'outbox'
  readonly node?: string
  readonly client?: ContestantSettings['client']
  /** OwlPost's. */
  readonly binary?: string
  /** Only when asked for: it is fetched, or takes long. */
  readonly onDemand?: true
}

export function listContestants(node24: string): readonly Contestant[] {
  const node20 = process.execPath
  const owlPost = process.env['OWLPOST']
  return [
    { name: 'pg_recvlogical', mode: 'pg_recvlogical' },
    { name: 'read only', mode: 'read', node: node24 },
    { name: 'prototype', mode: 'prototype', node: node24, client: 'platformatic' },
    { name: 'relay', mode: 'relay', node: node24, client: 'platformatic' },
    { name: 'prototype kafkajs', mode: 'prototype', node: node20, client: 'kafkajs' },
    { name: 'relay kafkajs', mode: 'relay', node: node20, client: 'kafkajs' },
    { name: 'kafkajs from memory', mode: 'memory', node: node20, client: 'kafkajs' },
    { name: 'ProducerPerformance', mode: 'java' },
    { name: 'Debezium', mode: 'debezium', onDemand: true },
    ...(owlPost ? [{ name: 'OwlPost', mode: 'owlpost', binary: owlPost } as const] : []),
    { name: 'pg-transactional-outbox', mode: 'outbox', onDemand: true },
  ]
}

/**
 * `only`: these and no others; `also`: the usual ones and these. Names between commas; case, spaces and dashes do not matter.
 *
 * @throws when a name is nobody's
 */
export function chooseContestants(
  all: readonly Contestant[],
  { only, also }: { readonly only?: string | undefined; readonly also?: string | undefined },
): readonly Contestant[] {
  const plain = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, '')
  const wanted = (only ?? also ?? '').split(',').map(plain).filter(Boolean)
  const unknown = wanted.find((name) => !all.some((one) => plain(one.name) === name))
  if (unknown !== undefined)
    throw new Error(`no contestant is called ${unknown}; there are: ${all.map(({ name }) => name).join(', ')}`)
  return all.filter(({ name, onDemand }) => wanted.includes(plain(name)) || (only === undefined && !onDemand))
}
