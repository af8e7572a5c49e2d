import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import { encodeFact } from '../../../src/envelope/encode.ts'
import { Fact, type FactInput } from '../../../src/fact.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { createTopics, type NewTopic, readTopic, uniquePrefix } from '../../support/kafka.ts'
import type { TestProcess } from '../../support/process.ts'
import { type PostgresOptions, type PostgresServer, startPostgres } from '../../support/services/postgres.ts'
import { createPlayer, type Player } from './player.ts'

// Servers that may be broken, called as in docs/operations.md: database `shop`, role `factlib_relay`, slot `factlib_slot`,
// publication `facts`. Only the prefix of facts and topics is another one: Kafka is shared.

export const SLOT = 'factlib_slot'

export interface StagedServer {
  readonly server: PostgresServer
  /** Superuser, database `shop`. */
  readonly adminUrl: string
  /** The relay's role, database `shop`. */
  readonly relayUrl: string
  /** `host:port`, for a URL with several. */
  readonly address: string
  query(sql: string, values?: unknown[]): Promise<Record<string, unknown>[]>
  /** One committed transaction with this fact; resolves to its id. */
  emit(input?: Partial<FactInput>): Promise<string>
}

export interface Stage {
  readonly prefix: string
  readonly brokers: readonly string[]
  /** A server of its own, stopped and removed at the end. */
  serve(options: PostgresOptions): Promise<StagedServer>
  player(at: StagedServer, env?: Readonly<Record<string, string>>): Promise<Player>
  /** Creates `<prefix>.<name>`. */
  topics(...topics: readonly NewTopic[]): Promise<void>
  /** Ids in the topic, in their order, once there are so many records. */
  delivered(name: string, count: number): Promise<string[]>
}

export function createStage(): Stage {
  const prefix = uniquePrefix()
  const brokers = inject('kafkaBrokers')
  const password = randomBytes(8).toString('hex')
  return {
    prefix,
    brokers,
    async serve(options) {
      const server = await startPostgres(options)
      registerCleanup(() => server.remove())
      return stagedServer(server, prefix, password)
    },
    player: (at, env = {}) =>
      createPlayer({
        env: {
          MASTER_DATABASE_URL: at.relayUrl,
          ADMIN_DATABASE_URL: at.adminUrl,
          WAL_PREFIX: prefix,
          KAFKA_BROKERS: brokers.join(','),
          DEAD_LETTER_TOPIC: `${prefix}_dead`,
          ...env,
        },
        // With the dot or underscore: the database keeps its name.
        names: { 'shop.order': `${prefix}.order`, shop_dead: `${prefix}_dead` },
      }),
    topics: (...topics) =>
      createTopics(
        brokers,
        topics.map((topic) => ({ ...topic, topic: `${prefix}.${topic.topic}` })),
      ),
    async delivered(name, count) {
      const records = await readTopic(brokers, `${prefix}.${name}`, { untilCount: count })
      return records.map(({ headers }) => String(headers.find(([key]) => key === 'event_id')?.[1]))
    },
  }
}

async function stagedServer(server: PostgresServer, prefix: string, password: string): Promise<StagedServer> {
  const url = new URL(server.url)
  const address = `${server.host}:${server.port}`
  url.pathname = '/shop'
  const adminUrl = url.href
  const once = async (connectionString: string, sql: string, values?: unknown[]) => {
    const client = new pg.Client({ connectionString })
    client.on('error', () => {}) // Servers are stopped under it.
    await client.connect()
    try {
      return (await client.query(sql, values)).rows as Record<string, unknown>[]
    } finally {
      await client.end()
    }
  }
  const [standby] = await once(server.url, 'SELECT pg_is_in_recovery() AS yes')
  if (standby?.['yes'] === false) await once(server.url, 'CREATE DATABASE shop')
  return {
    server,
    adminUrl,
    relayUrl: `postgres://factlib_relay:${password}@${address}/shop`,
    address,
    query: (sql, values) => once(adminUrl, sql, values),
    async emit(input = {}) {
      const fact = new Fact({ aggregateType: 'order', aggregateId: 'o-17', eventType: 'order.paid', ...input })
      await once(adminUrl, 'SELECT pg_logical_emit_message(true, $1::text, $2::bytea)', [
        prefix,
        Buffer.from(encodeFact(fact)),
      ])
      return fact.id as string
    },
  }
}

/** The ports of a relay that listens on free ones. */
export async function portsOf(relay: TestProcess): Promise<{ healthPort: number; metricsPort: number }> {
  return JSON.parse(await relay.whenLine('factlib-relay starts', 40_000))
}

export async function whenStreaming(relay: TestProcess): Promise<void> {
  await relay.whenLine('"streaming"', 40_000)
}

/** SIGTERM; resolves to the exit code. */
export async function stopRelay(relay: TestProcess): Promise<number | null> {
  relay.signal('SIGTERM')
  return (await relay.whenExited(30_000)).code
}
