// Does a fact cost more when there are more of them? The relay's CPU a fact over the size of the backlog, and over the number
// of topics, with the fast client on Node.js 24 and with kafkajs beside it.
//   npx tsx bench/sweep.mts [--backlog 10000,100000,500000,2000000] [--topics 1,20,200] [--rounds 3] [--json file]
//     without --backlog and --topics: both, with these lists. Real PostgreSQL and Kafka, started here.
//     --backlog: facts in the slot, 10 a transaction, one topic of 12 partitions
//     --topics: topics of --partitions 12 each, all ten facts of a transaction in different ones; --facts 200000 of them
//     --codec lz4 (not kafkajs), --clients platformatic,kafkajs
// CPU is user and system of the relay's process, all threads, from the start of the stream until Kafka has acknowledged
// the last fact. The process has relayed 100,000 other facts before: starting, compiling and connecting are not counted.
// A small backlog is relayed again from further copies of its slot, by the same process, until there are 200,000 facts.
// Medians over the rounds; × first: against the first of the list in the same round, and it should stay under 1.15.
import { parseArgs } from 'node:util'
import { Kafka, logLevel, Partitioners } from 'kafkajs'
import { createTopics } from '../test/support/kafka.ts'
import { findNode24 } from '../test/support/node24.ts'
import { startKafka } from '../test/support/services/kafka.ts'
import { startPostgres } from '../test/support/services/postgres.ts'
import { type Backlog, createBacklog, type Shape, topicsOf } from './relay/backlog.mts'
import { type Arena, nodeSettings, spawnNode } from './relay/run.mts'
import type { ContestantResult, ContestantSettings } from './relay/span.mts'
import { buildForBench, commandLine, load, machine, median, pairedRatio, shuffled, writeJson } from './rounds.mts'

const { values: options } = parseArgs({
  options: {
    backlog: { type: 'string' },
    topics: { type: 'string' },
    facts: { type: 'string', default: '200000' },
    rounds: { type: 'string', default: '3' },
    partitions: { type: 'string', default: '12' },
    codec: { type: 'string', default: 'lz4' },
    clients: { type: 'string', default: 'platformatic,kafkajs' },
    json: { type: 'string' },
  },
})
const LIMIT = 1.15
const PARTITIONS = Number(options.partitions)
const PER_TRANSACTION = 10
const WARM_FACTS = 100_000
/** Fewer are too few for a process's account, which is in hundredths of a second. */
const COUNTED_FACTS = 200_000

interface Step {
  readonly sweep: 'backlog' | 'topics'
  readonly value: number
  readonly shape: Shape
}

const numbers = (list: string | undefined, fallback: string) =>
  (list ?? (options.backlog || options.topics ? '' : fallback)).split(',').filter(Boolean).map(Number)
const steps: readonly Step[] = [
  ...numbers(options.backlog, '10000,100000,500000,2000000').map((value) => ({
    sweep: 'backlog' as const,
    value,
    shape: { facts: value, perTransaction: PER_TRANSACTION, topics: 1 },
  })),
  ...numbers(options.topics, '1,20,200').map((value) => ({
    sweep: 'topics' as const,
    value,
    shape: { facts: Number(options.facts), perTransaction: PER_TRANSACTION, topics: value },
  })),
]
const node24 = await findNode24()
const clients = [
  { name: 'fast client', client: 'platformatic', node: node24, mode: 'relay' },
  { name: 'kafkajs', client: 'kafkajs', node: process.execPath, mode: 'relay' },
] as const
const taking = clients.filter(({ client }) => options.clients.split(',').includes(client))
const built = await buildForBench('bench/relay/contestant.mts')
const [postgres, kafka] = await Promise.all([
  startPostgres({
    settings: { max_wal_size: '8GB', checkpoint_timeout: '1h', autovacuum: 'off', max_replication_slots: '64' },
  }),
  startKafka(),
])
const results = new Map<string, ContestantResult[]>()
const keyOf = (step: Step, client: string) => `${step.sweep} ${step.value} ${client}`
try {
  const topics = topicsOf({ topics: Math.max(...steps.map(({ shape }) => shape.topics)) })
  await createTopics(
    kafka.bootstrap,
    topics.map((topic) => ({ topic, partitions: PARTITIONS })),
  )
  // A broker's first write to a partition takes it some 10 ms: not what is measured here.
  await writeToEach(kafka.bootstrap, topics)
  process.stderr.write(`${machine()}\n`)
  for (let round = 1; round <= Number(options.rounds); round++)
    for (const [index, step] of shuffled([...steps.entries()])) await runStep(step, `r${round}_${index}`, round)
} finally {
  await Promise.all([postgres.remove(), kafka.remove()])
}

const table = steps.flatMap((step) =>
  taking.map(({ name }) => {
    const of = (one: Step, pick: (result: ContestantResult) => number | undefined) =>
      (results.get(keyOf(one, name)) ?? []).map((result) => pick(result) ?? Number.NaN)
    const cpu = (one: Step) => of(one, ({ cpuMicrosPerFact }) => cpuMicrosPerFact)
    const first = steps.find(({ sweep }) => sweep === step.sweep) as Step
    const growth = pairedRatio(cpu(step), cpu(first))
    return {
      [step.sweep]: step.value,
      client: name,
      'CPU µs/fact': median(cpu(step)).toFixed(2),
      '× first': growth.toFixed(2),
      [`under ${LIMIT}`]: growth < LIMIT ? 'yes' : 'NO',
      'facts/s': Math.round(step.shape.facts / median(of(step, ({ seconds }) => seconds))),
      'requests/10k': median(of(step, ({ requests }) => requests)),
      'RSS MB': median(of(step, ({ rssMegabytes }) => rssMegabytes)),
    }
  }),
)
for (const sweep of ['backlog', 'topics']) {
  const rows = table.filter((row) => sweep in row)
  if (rows.length > 0) console.table(rows)
}
writeJson(options.json, { command: commandLine('bench/sweep.mts'), table, results: [...results] })

async function writeToEach(brokers: readonly string[], topics: readonly string[]): Promise<void> {
  const client = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING, requestTimeout: 120_000 })
  const producer = client.producer({ createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  try {
    for (const topic of topics)
      await producer.send({
        topic,
        timeout: 60_000,
        messages: Array.from({ length: PARTITIONS }, (_, partition) => ({ partition, value: 'first' })),
      })
  } finally {
    await producer.disconnect()
  }
}

/** A backlog of its own, and gone afterwards: nobody reads over the WAL of another one. */
async function runStep(step: Step, id: string, round: number): Promise<void> {
  const { topics, facts } = step.shape
  const warm = await createBacklog(postgres.url, `warm_${id}`, { ...step.shape, facts: WARM_FACTS })
  const backlog = await createBacklog(postgres.url, `sweep_${id}`, step.shape)
  try {
    const codec = options.codec as ContestantSettings['codec']
    const arena: Arena = { kafka, backlog, topics: topicsOf({ topics }), partitions: PARTITIONS, codec, built }
    for (const contestant of shuffled(taking)) {
      const before = load()
      const result = await runClient(contestant, arena, warm)
      const key = keyOf(step, contestant.name)
      results.set(key, [...(results.get(key) ?? []), result])
      process.stderr.write(
        `round ${round}: ${step.sweep} ${step.value}, ${contestant.name}: ${result.cpuMicrosPerFact.toFixed(2)} µs, ${Math.round(facts / result.seconds)}/s, load ${before}\n`,
      )
    }
  } finally {
    await backlog.drop()
    await warm.drop()
  }
}

async function runClient(contestant: (typeof clients)[number], arena: Arena, warm: Backlog): Promise<ContestantResult> {
  const { backlog } = arena
  const times = Math.max(1, Math.ceil(COUNTED_FACTS / backlog.shape.facts))
  const [slot, ...moreSlots] = Array.from({ length: times }, (_, n) => `sweep_${n}`) as [string, ...string[]]
  const warmSlot = 'sweep_warm'
  await warm.copySlot(warmSlot)
  for (const name of [slot, ...moreSlots]) await backlog.copySlot(name)
  try {
    const settings: ContestantSettings = {
      ...nodeSettings(contestant, arena, slot),
      warmUp: { url: warm.url, slot: warmSlot, endLsn: warm.endLsn, facts: warm.shape.facts },
      moreSlots,
    }
    return await spawnNode(contestant, settings, built.script)
  } finally {
    for (const name of [slot, ...moreSlots]) await backlog.dropSlot(name)
    await warm.dropSlot(warmSlot)
  }
}
