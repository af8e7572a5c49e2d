// From a transaction's COMMIT to a record that a consumer sees: p50 and p99, each Kafka client in turn, in one run.
//   npx tsx bench/latency.mts [--rates 500,2000] [--seconds 10] [--rounds 3] [--json file]
//   --rates: facts a second; --seconds: of each, of which the first quarter warms up and is not counted
// One fact a transaction, eight connections, evenly spaced. A time is taken when COMMIT has returned and when a fetch that
// waits at the broker has brought the record, in one process and by one clock; the relay runs in a process of its own.
// Where the time goes, by the relay's own account: until it has received the fact, until Kafka has acknowledged it (which may be
// after the consumer has it); of all, and of the slowest hundredth.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { encodeFact } from '../src/envelope/encode.ts'
import { Fact } from '../src/fact.ts'
import { createTopics } from '../test/support/kafka.ts'
import { connectCluster, PartitionReader } from '../test/support/kafka-fetch.ts'
import { findNode24 } from '../test/support/node24.ts'
import { startKafka } from '../test/support/services/kafka.ts'
import { startPostgres } from '../test/support/services/postgres.ts'
import { buildForBench, commandLine, load, machine, median, pairedRatio, root, shuffled, writeJson } from './rounds.mts'

const { values: options } = parseArgs({
  options: {
    rates: { type: 'string', default: '500,2000' },
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'string' },
  },
})
const CONNECTIONS = 8
/** The first part warms everything up and is not counted. */
const WARM_UP_SHARE = 0.25
const built = await buildForBench('bench/latency/relay-process.mts')
const node24 = await findNode24()
const clients = [
  { name: 'fast client, Node 24', node: node24, client: 'platformatic' },
  { name: `kafkajs, ${process.version}`, node: process.execPath, client: 'kafkajs' },
] as const

interface Figures {
  readonly p50: number
  readonly p99: number
  /** Means of all and of the slowest hundredth, milliseconds. */
  readonly stages: { readonly all: Stages; readonly slowest: Stages }
  /** Facts a second: less than asked for where COMMIT is too slow. */
  readonly emitted: number
  readonly load: string
}

interface Stages {
  /** From COMMIT until the relay has received the fact. */
  readonly toRelay: number
  /** Until Kafka's acknowledgement has come. */
  readonly toKafka: number
  /** From COMMIT until the consumer has it. */
  readonly total: number
}

const rates = options.rates.split(',').map(Number)
const results = new Map<string, Figures[]>()
const [postgres, kafka] = await Promise.all([startPostgres(), startKafka()])
try {
  for (let round = 1; round <= Number(options.rounds); round++)
    for (const rate of rates)
      for (const contestant of shuffled(clients)) {
        const figures = await measure(contestant, rate, `r${round}_${rate}_${contestant.client}`)
        const key = `${contestant.name} ${rate}`
        results.set(key, [...(results.get(key) ?? []), figures])
        process.stderr.write(
          `round ${round}: ${rate}/s, ${contestant.name}: p50 ${figures.p50.toFixed(2)} ms, p99 ${figures.p99.toFixed(2)} ms, load ${figures.load}\n`,
        )
      }
} finally {
  await Promise.all([postgres.remove(), kafka.remove()])
}
console.log(machine())
const table = rates.flatMap((rate) =>
  clients.map(({ name }) => {
    const of = (client: string, pick: 'p50' | 'p99' | 'emitted') =>
      (results.get(`${client} ${rate}`) ?? []).map((one) => one[pick])
    return {
      'facts/s': rate,
      client: name,
      'emitted/s': Math.round(median(of(name, 'emitted'))),
      'p50 ms': median(of(name, 'p50')).toFixed(2),
      'p99 ms': median(of(name, 'p99')).toFixed(2),
      'p50 × kafkajs': pairedRatio(of(name, 'p50'), of(clients[1].name, 'p50')).toFixed(2),
      'p99 × kafkajs': pairedRatio(of(name, 'p99'), of(clients[1].name, 'p99')).toFixed(2),
    }
  }),
)
console.table(table)
console.log('Where the time goes, means in ms (medians of the rounds):')
console.table(
  rates.flatMap((rate) =>
    clients.flatMap(({ name }) =>
      (['all', 'slowest'] as const).map((which) => {
        const of = (stage: keyof Stages) =>
          median((results.get(`${name} ${rate}`) ?? []).map(({ stages }) => stages[which][stage])).toFixed(2)
        return {
          'facts/s': rate,
          client: name,
          of: which === 'all' ? 'all' : 'slowest 1 %',
          'COMMIT to relay': of('toRelay'),
          'relay to acknowledged': of('toKafka'),
          'COMMIT to consumer': of('total'),
        }
      }),
    ),
  ),
)
writeJson(options.json, {
  command: commandLine('bench/latency.mts'),
  table,
  results: [...results],
})
process.exit(0)

async function measure(contestant: (typeof clients)[number], rate: number, id: string): Promise<Figures> {
  const topic = `${id}.order`
  await createTopics(kafka.bootstrap, [{ topic }])
  const before = load()
  const relay = spawn(contestant.node, ['--no-warnings', built.script], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {
      ...process.env,
      BENCH_RELAY: JSON.stringify({
        module: built.relayModule,
        prefix: id,
        databaseUrl: postgres.url,
        slotName: `slot_${id}`,
        publicationName: 'bench_facts',
        kafkaBrokers: kafka.bootstrap,
        kafkaClient: contestant.client,
      }),
    },
  })
  await once(relay.stdout, 'data')
  const facts = rate * Number(options.seconds)
  const committedMs = new Map<string, number>()
  /** In the partition's order: number of the fact, and when it was seen. */
  const seenFacts: { readonly own: number; readonly atMs: number }[] = []
  const cluster = await connectCluster(kafka.bootstrap, [topic])
  const reader = new PartitionReader(cluster, topic, 0, false)
  const reading = (async () => {
    for (let seen = 0; seen < facts; ) {
      const messages = await reader.next(1_000)
      const nowMs = performance.now()
      seen += messages.length
      for (const { key } of messages) seenFacts.push({ own: Number(key), atMs: nowMs })
    }
  })()
  const emitted = await emit(id, rate, facts, committedMs)
  await reading
  await cluster.disconnect()
  const said = text(relay.stdout)
  relay.stdin.end()
  await once(relay, 'exit')
  const relayed = JSON.parse(await said) as { received: number[]; acknowledged: number[] }
  const all = seenFacts
    .map(({ own, atMs }, index) => {
      // The consumer, and the relay, may be faster than the answer to COMMIT.
      const startMs = committedMs.get(String(own)) as number
      const [received, acknowledged] = [relayed.received[index] as number, relayed.acknowledged[index] as number]
      return {
        own,
        toRelay: received - performance.timeOrigin - startMs,
        toKafka: acknowledged - received,
        total: Math.max(0, atMs - startMs),
      }
    })
    .filter(({ own }) => own >= facts * WARM_UP_SHARE)
    .sort((a, b) => a.total - b.total)
  const at = (share: number) => all[Math.floor(all.length * share)]?.total as number
  const slowest = all.slice(Math.floor(all.length * 0.99))
  return {
    p50: at(0.5),
    p99: at(0.99),
    stages: { all: meanStages(all), slowest: meanStages(slowest) },
    emitted,
    load: before,
  }
}

function meanStages(facts: readonly Stages[]): Stages {
  const mean = (pick: keyof Stages) => facts.reduce((sum, fact) => sum + fact[pick], 0) / facts.length
  return { toRelay: mean('toRelay'), toKafka: mean('toKafka'), total: mean('total') }
}

/** Open loop: a fact has its time, whether the one before is through or not. Returns the facts a second that were had. */
async function emit(prefix: string, rate: number, facts: number, committedMs: Map<string, number>): Promise<number> {
  const pool = await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const client = new pg.Client({ connectionString: postgres.url })
      // Not synchronous_commit = off: PostgreSQL sends no WAL before it is flushed, and then only its WAL writer does
      // that, every 200 ms. It would be the WAL writer that is measured.
      await client.connect()
      return client
    }),
  )
  const startMs = performance.now()
  let next = 0
  await Promise.all(
    pool.map(async (client) => {
      while (next < facts) {
        const own = next++
        const waitMs = startMs + (own * 1_000) / rate - performance.now()
        if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs))
        const payload = { order: own, note: 'n'.repeat(120) }
        const fact = new Fact({ aggregateType: 'order', aggregateId: String(own), eventType: 'order.placed', payload })
        await client.query('SELECT pg_logical_emit_message(true, $1::text, $2::bytea)', [
          prefix,
          Buffer.from(encodeFact(fact)),
        ])
        committedMs.set(String(own), performance.now())
      }
    }),
  )
  const seconds = (performance.now() - startMs) / 1000
  await Promise.all(pool.map((client) => client.end()))
  return facts / seconds
}
