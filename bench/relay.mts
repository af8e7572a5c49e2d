// The relay's whole path, from a slot with a backlog to records that Kafka has acknowledged, beside what bounds it and beside
// what a team would pick instead.
//   npx tsx bench/relay.mts [--workload w1|w2|one] [--rounds 3] [--facts N] [--only name,name] [--with name,name] [--json file]
//     w1 = 1 fact a transaction (200,000), w2 = 10 (400,000), one = a single transaction (1,000,000)
//     --only: these contestants; --with: the usual ones and these. Names: bench/relay/contestants.mts
//       `debezium` and `pg-transactional-outbox` only when named (they are fetched then); OwlPost where OWLPOST=<binary> is set
//     --topics 1, --partitions 12 (of each topic), --codec lz4 (none, gzip, snappy, lz4, zstd; kafkajs has none)
//     --node-args: for the processes of the relay, `--cpu-prof` say
// Real PostgreSQL and Kafka, started here. Each contestant reads its own copy of one slot, in a process of its own; the
// order is shuffled in each round; medians, and ratios paired within a round. What is counted:
//   facts/s     our own processes: from the start of the stream to the last acknowledgement (bench/relay/contestant.mts);
//               others' programs: the span in Kafka (bench/peers/outside.mts); Debezium once warm
//   in Kafka/s  everybody's, by the broker's clock: from the first record in Kafka to the last; of it the ratios to others
//   CPU         user and system of the contestant's process, all threads, in that span
import { parseArgs } from 'node:util'
import { createTopics } from '../test/support/kafka.ts'
import { findNode24 } from '../test/support/node24.ts'
import { startKafka } from '../test/support/services/kafka.ts'
import { startPostgres } from '../test/support/services/postgres.ts'
import { type Backlog, createBacklog, topicsOf } from './relay/backlog.mts'
import { chooseContestants, listContestants } from './relay/contestants.mts'
import { TOPIC_CONFIG } from './relay/kafka-ends.mts'
import { type Arena, runContestant } from './relay/run.mts'
import type { ContestantResult, ContestantSettings } from './relay/span.mts'
import { resultTable } from './relay/table.mts'
import { buildForBench, commandLine, load, machine, shuffled, writeJson } from './rounds.mts'

const { values: options } = parseArgs({
  options: {
    workload: { type: 'string', default: 'w2' },
    rounds: { type: 'string', default: '3' },
    facts: { type: 'string' },
    topics: { type: 'string', default: '1' },
    partitions: { type: 'string', default: '12' },
    codec: { type: 'string', default: 'lz4' },
    only: { type: 'string' },
    with: { type: 'string' },
    'node-args': { type: 'string' },
    json: { type: 'string' },
  },
})
const WORKLOADS = {
  w1: { facts: 200_000, perTransaction: 1 },
  w2: { facts: 400_000, perTransaction: 10 },
  one: { facts: 1_000_000, perTransaction: 1_000_000 },
} as const
const workload = options.workload as keyof typeof WORKLOADS
if (!(workload in WORKLOADS)) throw new Error('--workload is w1, w2 or one')
const facts = Number(options.facts ?? WORKLOADS[workload].facts)
const shape = {
  facts,
  perTransaction: workload === 'one' ? facts : WORKLOADS[workload].perTransaction,
  topics: Number(options.topics),
}
const partitions = Number(options.partitions)
const topics = topicsOf(shape)

const contestants = chooseContestants(listContestants(await findNode24()), { only: options.only, also: options.with })
const built = await buildForBench('bench/relay/contestant.mts')
const [postgres, kafka] = await Promise.all([
  startPostgres({ settings: { max_wal_size: '4GB', checkpoint_timeout: '1h', autovacuum: 'off' } }),
  startKafka(),
])
const results = new Map<string, (ContestantResult & { readonly load: string })[]>(
  contestants.map(({ name }) => [name, []]),
)
try {
  await createTopics(
    kafka.bootstrap,
    topics.map((topic) => ({ topic, partitions, config: TOPIC_CONFIG })),
  )
  const backlog: Backlog = await createBacklog(postgres.url, 'bench', shape)
  const arena: Arena = {
    kafka,
    backlog,
    topics,
    partitions,
    codec: options.codec as ContestantSettings['codec'],
    built,
    nodeArgs: options['node-args']?.split(' ') ?? [],
  }
  process.stderr.write(
    `${machine()}\n${facts} facts of ${Math.round(backlog.factBytes)} B, ${shape.perTransaction} a transaction\n`,
  )
  for (let round = 1; round <= Number(options.rounds); round++)
    for (const contestant of shuffled(contestants)) {
      const before = load()
      const result = await runContestant(contestant, arena, round)
      results.get(contestant.name)?.push({ ...result, load: before })
      const rate = Math.round((result.facts ?? facts) / result.seconds)
      process.stderr.write(
        `round ${round}: ${contestant.name}: ${rate}/s, ${result.cpuMicrosPerFact.toFixed(1)} µs, load ${before}\n`,
      )
    }
} finally {
  await Promise.all([postgres.remove(), kafka.remove()])
}
const table = resultTable(contestants, results, facts)
console.table(table)
writeJson(options.json, { command: commandLine('bench/relay.mts'), shape, table, results: [...results] })
