import pg from 'pg'
import { HEARTBEAT_PREFIX } from '../../../src/fact-rules.ts'
import type { Lsn } from '../../lsn.ts'
import { decodePgoutput } from './pgoutput.ts'
import type { QueryClient } from './slot-memory.ts'

/** A message that waits in a slot. */
export interface PeekedMessage {
  readonly prefix: string
  readonly content: Buffer
  readonly lsn: Lsn
  readonly transactional: boolean
  /** Microseconds since 1970; undefined: non-transactional. */
  readonly commitTimeMicros: bigint | undefined
}

export interface Peek {
  readonly messages: readonly PeekedMessage[]
  /** There is no more in the slot. */
  readonly isAll: boolean
}

/**
 * Looks at what waits in a slot and leaves it there, oldest first. PostgreSQL decodes for it from the slot's restart
 * position on, and the slot is taken meanwhile.
 *
 * @param changes stop after about so many changes (Begin and Commit count, a transaction is never cut).
 * @throws the driver's error: 55006 while a relay streams from the slot.
 */
export async function peekSlot(
  client: QueryClient,
  names: { readonly slot: string; readonly publication: string },
  changes: number,
): Promise<Peek> {
  const { rows } = await client.query(
    `SELECT lsn::text, data FROM pg_logical_slot_peek_binary_changes($1, NULL, $2,
       'proto_version', '1', 'publication_names', $3, 'messages', 'true')`,
    [names.slot, changes, pg.escapeIdentifier(names.publication)],
  )
  const messages: PeekedMessage[] = []
  let commitTimeMicros: bigint | undefined
  for (const { data } of rows as { data: Buffer }[])
    decodePgoutput(data, {
      onBegin: (_finalLsn, micros) => {
        commitTimeMicros = micros
      },
      onMessage: (transactional, lsn, prefix, content) => {
        // A relay's heartbeat is nobody's fact, and not foreign either.
        if (prefix === HEARTBEAT_PREFIX) return
        messages.push({
          prefix,
          content,
          lsn,
          transactional,
          commitTimeMicros: transactional ? commitTimeMicros : undefined,
        })
      },
      onCommit: () => {
        commitTimeMicros = undefined
      },
    })
  return { messages, isAll: rows.length < changes }
}
