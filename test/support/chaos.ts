import { readFile } from 'node:fs/promises'
import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'
import { Checker } from './checker.ts'
import { registerCleanup } from './cleanup.ts'
import { createDatabase, type TestDatabase } from './database.ts'
import { createTopics, type NewTopic, uniquePrefix } from './kafka.ts'
import { createTruth, type LOAD_TYPES, type Load, type LoadOptions, loadTopics, readTruth, startLoad } from './load.ts'
import { findNode24 } from './node24.ts'
import { type ProcessExit, ROOT, startProcess, type TestProcess } from './process.ts'
import { startProxy, type TestProxy } from './proxy.ts'
import { type KafkaCluster, startKafka } from './services/kafka.ts'
import { type PostgresServer, type PostgresVersion, startPostgres } from './services/postgres.ts'
import { adoptSlot, type TestSlot } from './slot.ts'
import { StatusWatch } from './status-frames.ts'
import { waitFor } from './wait.ts'

// The stage for faults: servers that may be broken, the relay as a process between two proxies, a load, and a checker.
//
//   load ──────────────────────────────▶ PostgreSQL ◀── proxy, StatusWatch ── relay ── proxies ──▶ Kafka
//   checker ◀── truth ───────────────────────┘                                                      │
//      ◀──────────────────────────────────── reads ─────────────────────────────────────────────────┘

export interface ChaosServers {
  readonly postgres: PostgresServer
  readonly kafka: KafkaCluster
  /** One before each broker, in their order; the relay's only way to Kafka. */
  readonly kafkaProxies: readonly TestProxy[]
  /** All that was broken works again. */
  heal(): Promise<void>
}

export interface ChaosServerOptions {
  /** Default: FACTLIB_CHAOS_POSTGRES, else 18. */
  readonly postgresVersion?: PostgresVersion
  readonly postgresSettings?: Readonly<Record<string, string>>
  /** Default 1. */
  readonly brokers?: 1 | 3
}

/** Starts servers of its own, to be broken; removed at the end of the test or file. */
export async function startChaosServers(options: ChaosServerOptions = {}): Promise<ChaosServers> {
  const version = options.postgresVersion ?? chaosPostgresVersion()
  const kafkaProxies: TestProxy[] = []
  if (chaosClient() === 'platformatic') node = await findNode24()
  const started = await Promise.allSettled([
    startPostgres({ version, name: 'chaos', settings: options.postgresSettings ?? {} }),
    startKafka({
      name: 'chaos',
      brokers: options.brokers ?? 1,
      proxy: async (port, brokerId) => {
        const proxy = await startProxy({ port })
        kafkaProxies[brokerId - 1] = proxy
        return proxy.port
      },
    }),
  ])
  const [postgres, kafka] = started
  registerCleanup(async () => {
    await Promise.all(started.map((server) => (server.status === 'fulfilled' ? server.value.remove() : undefined)))
  })
  if (postgres.status === 'rejected') throw postgres.reason
  if (kafka.status === 'rejected') throw kafka.reason
  const servers: ChaosServers = {
    postgres: postgres.value,
    kafka: kafka.value,
    kafkaProxies,
    async heal() {
      for (const proxy of kafkaProxies) healProxy(proxy)
      if (postgres.value.pid === undefined) await postgres.value.start()
      for (const broker of kafka.value.brokers) {
        broker.resume()
        if (broker.pid === undefined) await broker.start()
      }
    },
  }
  return servers
}

export function chaosPostgresVersion(): PostgresVersion {
  return Number(process.env['FACTLIB_CHAOS_POSTGRES'] || 18) as PostgresVersion
}

/** What was held back while the network was away is gone for good, as it is on a real one. */
export function healProxy(proxy: TestProxy): void {
  proxy.delayMs = 0
  proxy.refuse(false)
  proxy.blackhole(false)
}

export interface RelayProcess extends TestProcess {
  /** Resolves when it streams; the `count`-th time in its life (default: the first). */
  whenStreaming(count?: number, timeoutMs?: number): Promise<void>
  /** `/health`: status and text. */
  health(): Promise<{ readonly status: number; readonly text: string }>
  /** The sum of a metric over its labels. */
  metric(name: string): Promise<number>
  /** Largest resident memory so far, bytes. */
  peakBytes(): Promise<number>
  /** SIGTERM; resolves to the exit and how long it took. */
  stop(timeoutMs?: number): Promise<ProcessExit & { readonly tookMs: number }>
}

export interface ChaosBench {
  readonly database: TestDatabase
  readonly prefix: string
  readonly topics: { readonly ours: string[]; readonly foreign: string[] }
  readonly slot: TestSlot
  /** Before PostgreSQL, for the relays only. */
  readonly proxy: TestProxy
  readonly watch: StatusWatch
  readonly checker: Checker
  /** A relay of its own process; not yet streaming. */
  startRelay(env?: Readonly<Record<string, string>>): RelayProcess
  startLoad(options?: Partial<LoadOptions>): Load
  /** Makes a topic that was left out at first. */
  createTopic(topic: string): Promise<void>
  /** Resolves when the slot is at the end of the last fact that the server has sent to a relay. */
  whenAllConfirmed(timeoutMs?: number): Promise<void>
}

export interface ChaosBenchOptions {
  /** Of each topic of the load. Default: 3 partitions, as many copies as there are brokers (3 at most). */
  readonly topic?: Omit<NewTopic, 'topic'>
  /** Settings of the database, `wal_sender_timeout` say. */
  readonly databaseSettings?: Readonly<Record<string, string>>
  /** Types of the load whose topic does not exist at first. Default: none. */
  readonly without?: readonly (typeof LOAD_TYPES)[number][]
}

/** A database, topics, proxy and checker of its own; cleared away at the end of the test or file. */
export async function createChaosBench(servers: ChaosServers, options: ChaosBenchOptions = {}): Promise<ChaosBench> {
  const { postgres, kafka, kafkaProxies } = servers
  await servers.heal()
  const database = await createDatabase({ postgresUrl: postgres.url })
  for (const [name, value] of Object.entries(options.databaseSettings ?? {}))
    await database.query(`ALTER DATABASE ${database.name} SET ${name} = ${pg.escapeLiteral(value)}`)
  await createTruth(database.url)
  const prefix = uniquePrefix()
  const topics = loadTopics(prefix)
  const copies = kafka.brokers.length
  const made = [...topics.ours, ...topics.foreign].filter(
    (topic) => !options.without?.some((type) => topic === `${prefix}.${type}`),
  )
  const makeTopics = (names: readonly string[]) =>
    createTopics(
      kafka.bootstrap,
      names.map((topic) => ({
        partitions: 3,
        replicationFactor: copies,
        ...options.topic,
        topic,
        // The time of a record is then when Kafka had it.
        config: { 'message.timestamp.type': 'LogAppendTime', ...options.topic?.config },
      })),
    )
  await makeTopics(made)
  const slot = adoptSlot(database)
  const watch = new StatusWatch(prefix)
  const proxy = await startProxy({ port: postgres.port }, watch.tap)
  const checker = await Checker.open(kafka.bootstrap, {
    ours: topics.ours.filter((topic) => made.includes(topic)),
    foreign: topics.foreign,
  })
  registerCleanup(() => checker.close())
  // Runs before the database is dropped: whatever the test broke.
  registerCleanup(() => servers.heal())
  const url = new URL(database.url)
  url.port = String(proxy.port)
  return {
    database,
    prefix,
    topics,
    slot,
    proxy,
    watch,
    checker,
    startRelay: (env = {}) =>
      startRelay({
        MASTER_DATABASE_URL: url.href,
        WAL_PREFIX: prefix,
        REPLICATION_SLOT_NAME: slot.name,
        PUBLICATION_NAME: slot.publication,
        KAFKA_BROKERS: kafkaProxies.map(({ port }) => `127.0.0.1:${port}`).join(','),
        ...env,
      }),
    async createTopic(topic) {
      await makeTopics([topic])
      await checker.addTopic(topic)
    },
    startLoad: (given = {}) => startLoad({ url: database.url, prefix, ...given }),
    async whenAllConfirmed(timeoutMs = 30_000) {
      await waitFor(async () => (await slot.confirmedFlushLsn()) >= watch.lastEndLsn, {
        what: 'the last fact to be confirmed',
        timeoutMs,
      })
    },
  }
}

/** The Kafka client of every relay of a run: FACTLIB_CHAOS_CLIENT, else kafkajs. */
export function chaosClient(): 'kafkajs' | 'platformatic' {
  const given = process.env['FACTLIB_CHAOS_CLIENT'] || 'kafkajs'
  if (given !== 'kafkajs' && given !== 'platformatic')
    throw new Error(`FACTLIB_CHAOS_CLIENT must be kafkajs or platformatic, but is "${given}"`)
  return given
}

/** Where platformatic is asked for: a Node.js that it runs on. */
let node = process.execPath

/** The command itself, from its source. */
export function startRelay(env: Readonly<Record<string, string>>): RelayProcess {
  const child = startProcess(node, ['--import', 'tsx', 'relay/cli/main.ts', 'run'], {
    cwd: ROOT,
    env: { HTTP_HOST: '127.0.0.1', WAL_HEALTH_PORT: '0', METRICS_PORT: '0', KAFKA_CLIENT: chaosClient(), ...env },
  })
  const ports = () =>
    child
      .whenLine('factlib-relay starts', 30_000)
      .then((line) => JSON.parse(line) as { healthPort: number; metricsPort: number })
  return Object.assign(child, {
    async whenStreaming(count = 1, timeoutMs = 40_000) {
      let exit: ProcessExit | undefined
      void child.whenExited(timeoutMs).then(
        (ended) => {
          exit = ended
        },
        () => {},
      )
      const streams = () => child.output().split('"streaming"').length - 1 >= count
      await waitFor(() => exit ?? streams(), { what: 'the relay to stream', timeoutMs }).catch(() => {})
      if (!streams())
        throw new Error(
          `the relay does not stream (${exit ? `exit ${exit.code ?? exit.signal}` : 'still alive'})\n${child.output().slice(-3_000)}`,
        )
    },
    async health() {
      const response = await fetch(`http://127.0.0.1:${(await ports()).healthPort}/health`)
      return { status: response.status, text: await response.text() }
    },
    async metric(name: string) {
      const text = await (await fetch(`http://127.0.0.1:${(await ports()).metricsPort}/metrics`)).text()
      const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
    },
    async peakBytes() {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
      return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024
    },
    async stop(timeoutMs = 30_000) {
      const sinceMs = performance.now()
      child.signal('SIGTERM')
      const exit = await child.whenExited(timeoutMs)
      return { ...exit, tookMs: performance.now() - sinceMs }
    },
  })
}

/** Works with Kafka's admin, straight to the brokers. */
export async function withAdmin<T>(
  brokers: readonly string[],
  work: (admin: ReturnType<Kafka['admin']>) => Promise<T>,
): Promise<T> {
  const admin = new Kafka({ brokers: [...brokers], clientId: 'factlib-chaos', logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}

export { readTruth }
