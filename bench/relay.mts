// The relay's whole path, from a slot with a backlog to records that Kafka has acknowledged, beside what bounds it.
//   npx tsx bench/relay.mts [--workload w1|w2|one] [--rounds 3] [--facts N] [--only name,name] [--json file]
//     w1 = 1 fact a transaction (200,000), w2 = 10 (400,000), one = a single transaction (1,000,000)
// Real PostgreSQL and Kafka, started here. Each contestant reads its own copy of one slot, in a process of its own; the
// order is shuffled in each round; medians, and ratios paired within a round. What is counted: bench/relay/contestant.mts.
import { execFile, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { parseArgs, promisify } from 'node:util'
import { createTopics, highWatermarks } from '../test/support/kafka.ts'
import { findNode24 } from '../test/support/node24.ts'
import { startKafka } from '../test/support/services/kafka.ts'
import { startPostgres } from '../test/support/services/postgres.ts'
import { type Backlog, createBacklog, PREFIX, topicsOf } from './relay/backlog.mts'
import type { ContestantResult, ContestantSettings } from './relay/span.mts'
import {
  buildForBench,
  findPgRecvlogical,
  load,
  machine,
  median,
  pairedRatio,
  root,
  shuffled,
  writeJson,
} from './rounds.mts'

const { values: options } = parseArgs({
  options: {
    workload: { type: 'string', default: 'w2' },
    rounds: { type: 'string', default: '3' },
    facts: { type: 'string' },
    topics: { type: 'string', default: '1' },
    partitions: { type: 'string', default: '12' },
    codec: { type: 'string', default: 'lz4' },
    only: { type: 'string' },
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
const facts = Number(options.facts ?? WORKLOADS[workload].facts)
const shape = {
  facts,
  perTransaction: workload === 'one' ? facts : WORKLOADS[workload].perTransaction,
  topics: Number(options.topics),
}

interface Contestant {
  readonly name: string
  readonly mode: 'pg_recvlogical' | 'relay' | 'prototype' | 'read' | 'memory' | 'java'
  readonly node?: string
  readonly client?: 'platformatic' | 'kafkajs'
}

const node24 = await findNode24()
const node20 = process.execPath
const all: readonly Contestant[] = [
  { name: 'pg_recvlogical', mode: 'pg_recvlogical' },
  { name: 'read only', mode: 'read', node: node24 },
  { name: 'prototype', mode: 'prototype', node: node24, client: 'platformatic' },
  { name: 'relay', mode: 'relay', node: node24, client: 'platformatic' },
  { name: 'prototype kafkajs', mode: 'prototype', node: node20, client: 'kafkajs' },
  { name: 'relay kafkajs', mode: 'relay', node: node20, client: 'kafkajs' },
  { name: 'ProducerPerformance', mode: 'java' },
  { name: 'kafkajs from memory', mode: 'memory', node: node20, client: 'kafkajs' },
]
const contestants = all.filter(({ name }) => !options.only || options.only.split(',').includes(name))
const built = await buildForBench('bench/relay/contestant.mts')
const [postgres, kafka] = await Promise.all([
  startPostgres({ settings: { max_wal_size: '4GB', checkpoint_timeout: '1h', autovacuum: 'off' } }),
  startKafka(),
])
const results = new Map<string, (ContestantResult & { readonly load: string })[]>(
  contestants.map(({ name }) => [name, []]),
)
const partitions = Number(options.partitions)
const topics = topicsOf(shape)
let backlog: Backlog | undefined
try {
  await createTopics(
    kafka.bootstrap,
    topics.map((topic) => ({ topic, partitions })),
  )
  backlog = await createBacklog(postgres.url, 'bench', shape)
  process.stderr.write(
    `${machine()}\n${facts} facts of ${Math.round(backlog.factBytes)} B, ${shape.perTransaction} a transaction\n`,
  )
  for (let round = 1; round <= Number(options.rounds); round++)
    for (const contestant of shuffled(contestants)) {
      const before = load()
      const result = await run(contestant, backlog, round)
      results.get(contestant.name)?.push({ ...result, load: before })
      process.stderr.write(
        `round ${round}: ${contestant.name}: ${Math.round(facts / result.seconds)}/s, ${result.cpuMicrosPerFact.toFixed(1)} µs, load ${before}\n`,
      )
    }
} finally {
  await Promise.all([postgres.remove(), kafka.remove()])
}
const ratio = (name: string, other: string) => {
  const rates = (of: string) => (results.get(of) ?? []).map(({ seconds }) => 1 / seconds)
  return rates(name).length > 0 && rates(other).length > 0 ? pairedRatio(rates(name), rates(other)).toFixed(2) : ''
}
const table = contestants.map(({ name, client }) => {
  const own = results.get(name) ?? []
  const of = (pick: (result: ContestantResult) => number | undefined) =>
    median(own.map((result) => pick(result) ?? Number.NaN))
  return {
    contestant: name,
    'facts/s': Math.round(facts / of(({ seconds }) => seconds)),
    '× pg_recvlogical': ratio(name, 'pg_recvlogical'),
    '× prototype': ratio(name, client === 'kafkajs' ? 'prototype kafkajs' : 'prototype'),
    '× memory': client === 'kafkajs' ? ratio(name, 'kafkajs from memory') : '',
    'CPU µs/fact': text(
      of(({ cpuMicrosPerFact }) => cpuMicrosPerFact),
      1,
    ),
    'RSS MB': text(
      of(({ rssMegabytes }) => rssMegabytes),
      0,
    ),
    'requests/10k': text(
      of(({ requests }) => requests),
      0,
    ),
    'confirmed s': text(
      of(({ confirmedSeconds }) => confirmedSeconds),
      1,
    ),
  }
})
console.table(table)
writeJson(options.json, {
  command: `npx tsx bench/relay.mts ${process.argv.slice(2).join(' ')}`,
  shape,
  table,
  results: [...results],
})

function text(value: number, digits: number): string {
  return Number.isNaN(value) ? '' : value.toFixed(digits)
}

async function run(contestant: Contestant, from: Backlog, round: number): Promise<ContestantResult> {
  const slot = `bench_${contestant.name.toLowerCase().replace(/\W/g, '_')}_${round}`
  await from.copySlot(slot)
  try {
    if (contestant.mode === 'pg_recvlogical') return await runPgRecvlogical(from, slot)
    if (contestant.mode === 'java') return await runProducerPerformance(from)
    return await runNode(contestant, from, slot)
  } finally {
    await from.dropSlot(slot)
  }
}

async function runNode(contestant: Contestant, from: Backlog, slot: string): Promise<ContestantResult> {
  const { mode, node = process.execPath, client = 'platformatic' } = contestant
  const settings: ContestantSettings = {
    url: from.url,
    slot,
    publication: from.publication,
    prefix: PREFIX,
    endLsn: from.endLsn,
    facts,
    brokers: kafka.bootstrap,
    topics,
    partitions,
    client,
    codec: client === 'kafkajs' ? 'none' : (options.codec as ContestantSettings['codec']),
    relayModule: built.relayModule,
  }
  const before = await recordsInKafka()
  const nodeArgs = contestant.name === 'relay' ? (options['node-args']?.split(' ') ?? []) : []
  const { stdout } = await promisify(execFile)(node, ['--no-warnings', ...nodeArgs, built.script, mode], {
    cwd: root,
    timeout: 600_000,
    env: { ...process.env, KAFKAJS_NO_PARTITIONER_WARNING: '1', BENCH_SETTINGS: JSON.stringify(settings) },
  })
  const produced = (await recordsInKafka()) - before
  const expected = mode === 'read' ? 0 : facts
  if (produced !== expected) throw new Error(`${contestant.name} wrote ${produced} records, not ${expected}`)
  return JSON.parse(stdout) as ContestantResult
}

/** Kafka's own producer fed from memory, by its own count: values of the same size, no keys and no headers. CPU is not known. */
async function runProducerPerformance(from: Backlog): Promise<ContestantResult> {
  const args = ['--topic', topics[0] as string, '--num-records', String(facts), '--throughput', '-1']
  args.push('--record-size', String(Math.round(from.factBytes)), '--producer-props')
  args.push(`bootstrap.servers=${kafka.bootstrap.join(',')}`, 'acks=all', 'enable.idempotence=true')
  args.push(`compression.type=${options.codec}`)
  const printed = await kafka.tool('org.apache.kafka.tools.ProducerPerformance', args)
  const [, rate] = /records sent, ([\d.]+) records\/sec .* 99th/.exec(printed) ?? []
  if (rate === undefined) throw new Error(`ProducerPerformance said no rate: ${printed.slice(-300)}`)
  return { seconds: facts / Number(rate), cpuMicrosPerFact: Number.NaN, rssMegabytes: Number.NaN }
}

async function recordsInKafka(): Promise<number> {
  let count = 0n
  for (const ends of (await highWatermarks(kafka.bootstrap, topics)).values()) for (const end of ends) count += end
  return Number(count)
}

/** From its start to its exit; its CPU by the shell that waits for it. */
async function runPgRecvlogical(from: Backlog, slot: string): Promise<ContestantResult> {
  const binary = findPgRecvlogical()
  if (!binary)
    throw new Error(
      'pg_recvlogical is not installed: Debian has it in postgresql-client-15, or name it in PG_RECVLOGICAL',
    )
  const args = ['--dbname', from.url, '--slot', slot, '--start', '--no-loop', '--file', '/dev/null']
  args.push(
    '--option',
    'proto_version=1',
    '--option',
    `publication_names=${from.publication}`,
    '--option',
    'messages=true',
  )
  args.push('--endpos', from.endLsn)
  const shell = spawn('bash', ['-c', 'TIMEFORMAT="%R %U %S"; time "$0" "$@"', binary, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  shell.stderr.on('data', (text: Buffer) => {
    said += text.toString()
  })
  let rssMegabytes = 0
  const watch = setInterval(() => {
    rssMegabytes = Math.max(rssMegabytes, childPeakMegabytes(shell.pid as number))
  }, 100)
  const code = await new Promise((resolve) => shell.once('close', resolve))
  clearInterval(watch)
  const times = said.trim().split('\n').at(-1)?.split(' ').map(Number) ?? []
  const [seconds = Number.NaN, user = Number.NaN, system = Number.NaN] = times
  if (code !== 0 || Number.isNaN(system))
    throw new Error(`pg_recvlogical ended with ${String(code)}: ${said.slice(-300)}`)
  return { seconds, cpuMicrosPerFact: ((user + system) * 1e6) / facts, rssMegabytes }
}

function childPeakMegabytes(parent: number): number {
  try {
    const [child] = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(' ')
    const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child}/status`, 'utf8')) ?? []
    return Math.round(Number(kilobytes ?? 0) / 1024)
  } catch {
    return 0
  }
}
