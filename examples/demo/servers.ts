import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'
import { createTopics, highWatermarks } from '../../test/support/kafka.ts'
import { provideKafka, providePostgres } from '../../test/support/services/provide.ts'
import { guard } from '../../test/support/services/watchdog.ts'
import { waitFor } from '../../test/support/wait.ts'

/** A PostgreSQL with the shop's tables, and a Kafka with its topics; all names are the demo's own. */
export interface DemoServers {
  readonly databaseUrl: string
  readonly database: pg.Pool
  readonly brokers: readonly string[]
  readonly topics: readonly string[]
  readonly slot: string
  readonly publication: string
  /** Empty, for the relay to run in. */
  readonly folder: string
  /** Records in all topics. */
  recordCount(): Promise<number>
}

export type OnEnd = (cleanup: () => Promise<unknown>) => void

const PARTITIONS = 3

/** Starts both servers at once (test/support/services), and registers what takes everything away again, in reverse order. */
export async function openServers(
  prefix: string,
  aggregateTypes: readonly string[],
  onEnd: OnEnd,
): Promise<DemoServers> {
  const starting = [providePostgres(), provideKafka()] as const
  // Also when the demo is interrupted while they start: a started one is stopped.
  onEnd(() =>
    Promise.all(
      starting.map((service) =>
        service.then(
          ({ stop }) => stop(),
          () => {},
        ),
      ),
    ),
  )
  const [postgres, kafka] = await Promise.all(starting)

  const folder = await mkdtemp(join(tmpdir(), 'factlib-demo-'))
  const release = guard({ kind: 'folder', path: folder })
  onEnd(() => rm(folder, { recursive: true, force: true }).then(release))

  const name = `factlib_demo_${randomBytes(4).toString('hex')}`
  const admin = new pg.Pool({ connectionString: postgres.url, max: 1 })
  onEnd(() => admin.end())
  await admin.query(`CREATE DATABASE ${name}`)
  onEnd(() => dropDatabase(admin, name))
  const url = new URL(postgres.url)
  url.pathname = `/${name}`
  const database = new pg.Pool({ connectionString: url.href, max: 2 })
  // An idle connection may still be there when its database is dropped.
  for (const pool of [admin, database]) pool.on('error', () => {})
  onEnd(() => database.end())
  await database.query(await readFile(new URL('../../prisma/schema.sql', import.meta.url), 'utf8'))

  const topics = aggregateTypes.map((aggregateType) => `${prefix}.${aggregateType}`)
  await createTopics(
    kafka.brokers,
    topics.map((topic) => ({ topic, partitions: PARTITIONS })),
  )
  onEnd(() => deleteTopics(kafka.brokers, topics))

  return {
    databaseUrl: url.href,
    database,
    brokers: kafka.brokers,
    topics,
    slot: name,
    publication: name,
    folder,
    async recordCount() {
      const ends = await highWatermarks(kafka.brokers, topics)
      return [...ends.values()].flat().reduce((sum, end) => sum + Number(end), 0)
    },
  }
}

/** With its slot, which has its name; the relay's connection may take a moment to be gone. */
async function dropDatabase(admin: pg.Pool, name: string): Promise<void> {
  const slots = 'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1'
  await waitFor(() => admin.query(slots, [name]), { what: `the slot ${name} to be free` })
  await admin.query(`DROP DATABASE ${name} WITH (FORCE)`)
}

async function deleteTopics(brokers: readonly string[], topics: readonly string[]): Promise<void> {
  const admin = new Kafka({ brokers: [...brokers], clientId: 'factlib-demo', logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    await admin.deleteTopics({ topics: [...topics] })
  } finally {
    await admin.disconnect()
  }
}
