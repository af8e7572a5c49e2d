import type { RelaySettings, Route } from '../types.ts'
import { checkClocks } from './check-clocks.ts'
import { checkKafka } from './check-kafka.ts'
import { checkPostgres } from './check-postgres.ts'
import { checkSlot } from './check-slot.ts'
import type { DoctorNames, Finding, PeekFacts } from './facts.ts'
import { probeKafka, type WantedTopic } from './probe-kafka.ts'
import { probePostgres } from './probe-postgres.ts'

// probe-postgres ─▶ facts ─▶ check-postgres, check-slot ─┐
// probe-kafka    ─▶ facts ─▶ check-kafka, check-clocks  ─┴─▶ findings

export interface DoctorOptions {
  /** Topics to look at, beside those that are found. */
  readonly topics: readonly string[]
  /** How many changes of the slot are looked into, 0: none. */
  readonly peekMessages: number
}

/**
 * Looks at both sides and says what is wrong, or will be; changes nothing. Each connection has a time limit.
 *
 * @example
 * const findings = await diagnose(settings, routes, { topics: ['shop.order'], peekMessages: 1_000 })
 */
export async function diagnose(
  settings: RelaySettings,
  routes: readonly Route[],
  options: DoctorOptions,
): Promise<Finding[]> {
  const postgres = await probePostgres(settings, routes, options.peekMessages)
  const { kafka: target, deadLetter } = settings
  const kafka = await probeKafka(
    target,
    wantedTopics(settings, routes, options.topics, postgres.peek),
    settings.prefixes.filter((prefix) => prefix !== '*'),
  )
  const names = doctorNames(settings)
  return [
    ...checkPostgres(postgres, names),
    ...checkSlot(postgres, names),
    ...checkKafka(kafka, {
      target,
      sendBytes: settings.sendBytes,
      deadLetterTopic: deadLetter?.topic,
      blocksKeys: deadLetter?.keys === 'block-key',
    }),
    ...checkClocks({ postgres: postgres.clock, kafka: kafka.clock, topics: kafka.topics }),
  ]
}

function doctorNames(settings: RelaySettings): DoctorNames {
  const { slot, publication, database, slotCreate, acceptGap, deadLetter } = settings
  const [first] = database.hosts
  return {
    slot,
    publication,
    role: database.user,
    database: database.database,
    applicationName: database.applicationName,
    host: first?.host ?? '',
    port: first?.port ?? 5432,
    slotCreate,
    acceptGap,
    keepsMalformed: deadLetter?.causes.includes('malformed') === true,
  }
}

/** From the command line, the slot, routes and the settings; each once, for the first reason. */
function wantedTopics(
  settings: RelaySettings,
  routes: readonly Route[],
  given: readonly string[],
  peek: PeekFacts | undefined,
): WantedTopic[] {
  const wanted = new Map<string, WantedTopic>()
  const want = (name: string, because: string, largestFactBytes = 0) => {
    if (!wanted.has(name)) wanted.set(name, { name, because, largestFactBytes })
  }
  for (const [name, { facts, largestBytes }] of peek?.topics ?? [])
    want(name, `${facts} ${facts === 1 ? 'fact waits' : 'facts wait'} for it in the slot`, largestBytes)
  if (settings.deadLetter) want(settings.deadLetter.topic, 'it takes dead letters')
  for (const name of given) want(name, 'named by --topics')
  for (const route of routes) if (route.topic !== undefined) want(route.topic, 'a route names it')
  return [...wanted.values()]
}
