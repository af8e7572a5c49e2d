import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { inject } from 'vitest'
import { createRelay, type Relay, type RelayOptions } from '../../relay/index.ts'
import { encodeFact } from '../../src/envelope/encode.ts'
import { Fact, type FactInput } from '../../src/fact.ts'
import { registerCleanup } from '../support/cleanup.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createTopics, type NewTopic, type TopicRecord, uniquePrefix } from '../support/kafka.ts'
import { adoptSlot, createSlot, type SlotMessage, type TestSlot } from '../support/slot.ts'
import { waitFor } from '../support/wait.ts'

/** A database, a prefix and slot names of its own, and a second slot beside the relay's that tells what is true. */
export interface RelayBench {
  readonly database: TestDatabase
  readonly brokers: readonly string[]
  readonly prefix: string
  /** The relay's: made by the relay. */
  readonly slot: TestSlot
  /** Not the relay's, and read by other code: the order of commits and the positions. */
  readonly oracle: TestSlot
  /** A relay with this bench's names, stopped at the end of the test. Not started. */
  relay(options?: Partial<RelayOptions>): Relay & { readonly log: readonly string[] }
  /** Has a relay create publication and slot, so that what is emitted from now on is in it. */
  createSlot(): Promise<void>
  /** Creates `<prefix>.<name>`. */
  topics(...topics: readonly NewTopic[]): Promise<void>
  /** One committed transaction with these facts. */
  commit(...facts: readonly Partial<FactInput>[]): Promise<void>
  /** Resolves when the relay has told PostgreSQL that everything up to here is done. */
  whenAllConfirmed(relay: Relay): Promise<void>
  /** Resolves when no relay streams from the slot: its end reaches the server's side a moment later. */
  whenSlotFree(): Promise<void>
  /** What was committed and is ours, in commit order; from the oracle. */
  committed(): Promise<SlotMessage[]>
}

export interface BenchOptions {
  readonly postgresUrl?: string
  readonly brokers?: readonly string[]
}

export async function createBench(options: BenchOptions = {}): Promise<RelayBench> {
  const database = await createDatabase(options.postgresUrl === undefined ? {} : { postgresUrl: options.postgresUrl })
  const brokers = options.brokers ?? inject('kafkaBrokers')
  const prefix = uniquePrefix()
  const oracle = await createSlot(database)
  const slot = adoptSlot(database)

  const committed = async () => (await oracle.peek()).filter((message) => message.prefix === prefix)
  const bench: RelayBench = {
    database,
    brokers,
    prefix,
    slot,
    oracle,
    committed,
    relay(given = {}) {
      const log: string[] = []
      const write = (level: string) => (fields: object, message: string) =>
        log.push(`${level} ${message} ${JSON.stringify(fields)}`)
      const relay = createRelay({
        prefix,
        databaseUrl: database.url,
        slotName: slot.name,
        publicationName: slot.publication,
        kafkaBrokers: [...brokers],
        logger: { debug() {}, info: write('info'), warn: write('warn'), error: write('error') },
        ...given,
      })
      registerCleanup(() => relay.stop())
      return Object.defineProperty(relay, 'log', { value: log }) as Relay & { readonly log: readonly string[] }
    },
    async createSlot() {
      const first = bench.relay()
      await first.start()
      await first.stop()
    },
    topics: (...topics) =>
      createTopics(
        brokers,
        topics.map((topic) => ({ ...topic, topic: `${prefix}.${topic.topic}` })),
      ),
    async commit(...facts) {
      const client = await database.pool.connect()
      try {
        await client.query('BEGIN')
        for (const fact of facts) await emit(client, prefix, fact)
        await client.query('COMMIT')
      } finally {
        client.release()
      }
    },
    async whenSlotFree() {
      await waitFor(async () => (await slot.activePid()) === undefined, { what: 'the slot to be free' })
    },
    async whenAllConfirmed(relay) {
      const end = (await committed()).reduce((last, { endLsn, lsn }) => {
        const own = endLsn ?? lsn
        return own > last ? own : last
      }, 0n)
      await relay.whenFlushed(lsnText(end))
      await waitFor(async () => (await slot.confirmedFlushLsn()) >= end, { what: 'PostgreSQL to have the position' })
    },
  }
  return bench
}

/** Emits by plain SQL, as Django's client does: no adapter of ours in between. */
export async function emit(
  client: pg.ClientBase | pg.Pool,
  prefix: string,
  input: Partial<FactInput>,
  transactional = true,
): Promise<Fact> {
  const fact = new Fact({ aggregateType: 'order', aggregateId: '1', eventType: 'order.changed', ...input })
  await emitBytes(client, prefix, Buffer.from(encodeFact(fact)), transactional)
  return fact
}

export async function emitBytes(
  client: pg.ClientBase | pg.Pool,
  prefix: string,
  content: Buffer,
  transactional = true,
): Promise<void> {
  await client.query('SELECT pg_logical_emit_message($1::boolean, $2::text, $3::bytea)', [
    transactional,
    prefix,
    content,
  ])
}

export function lsnText(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffffffffn).toString(16)}`.toUpperCase()
}

export function header(record: TopicRecord, name: string): string | undefined {
  return record.headers.find(([own]) => own === name)?.[1].toString()
}

/** First deliveries in order, and what came again: which must be the same, byte for byte. */
export function splitDuplicates(
  records: readonly TopicRecord[],
  /** The header that tells a fact. */
  name = 'event_id',
): { first: TopicRecord[]; duplicates: number } {
  const seen = new Map<string, TopicRecord>()
  for (const record of records) {
    const id = header(record, name) as string
    const before = seen.get(id)
    if (!before) seen.set(id, record)
    else if (
      before.partition !== record.partition ||
      !(before.value as Buffer).equals(record.value as Buffer) ||
      !(before.key as Buffer).equals(record.key as Buffer) ||
      JSON.stringify(before.headers) !== JSON.stringify(record.headers)
    )
      throw new Error(`the duplicate of ${id} differs from its first delivery`)
  }
  return { first: [...seen.values()], duplicates: records.length - seen.size }
}

export function uniqueName(what: string): string {
  return `${what}_${randomBytes(6).toString('hex')}`
}
