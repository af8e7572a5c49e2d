// What a Kafka client costs: a bare loop feeds each sink from memory, 500 records a send, 12 partitions, about 287 bytes a value.
//   npx tsx bench/sink.mts [--facts 300000] [--rounds 3] [--json file]
// One broker, contestants in processes of their own, shuffled in each round; medians.
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { createTopics } from '../test/support/kafka.ts'
import { findNode24 } from '../test/support/node24.ts'
import { startKafka } from '../test/support/services/kafka.ts'

interface Result {
  readonly factsPerSecond: number
  readonly cpuMicrosPerFact: number
  readonly rssMegabytes: number
  readonly valueBytes: number
  readonly produced: number
  readonly logBytesPerFact: number
}

const { values: options } = parseArgs({
  options: {
    facts: { type: 'string', default: '300000' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'string' },
  },
})
const PARTITIONS = 12
const root = fileURLToPath(new URL('..', import.meta.url))
const node24 = await findNode24()
const contestants = [
  { name: `kafkajs none, ${process.version}`, node: process.execPath, client: 'kafkajs', codec: 'none' },
  { name: 'kafkajs none, Node 24', node: node24, client: 'kafkajs', codec: 'none' },
  ...['none', 'lz4', 'snappy', 'zstd', 'gzip'].map((codec) => ({
    name: `platformatic ${codec}, Node 24`,
    node: node24,
    client: 'platformatic',
    codec,
  })),
  { name: "the library's own Producer, none, Node 24", node: node24, client: 'library', codec: 'none' },
  { name: "the library's own Producer, lz4, Node 24", node: node24, client: 'library', codec: 'lz4' },
]
const results = new Map<string, Result[]>(contestants.map(({ name }) => [name, []]))
const kafka = await startKafka()
try {
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const { name, node, client, codec } of shuffled(contestants)) {
      const topic = `bench-${round}-${client}-${codec}-${node === node24 ? 24 : 20}`
      await createTopics(kafka.bootstrap, [{ topic, partitions: PARTITIONS }])
      const args = [client, codec, kafka.bootstrap.join(','), topic, options.facts, String(PARTITIONS)]
      const { stdout } = await promisify(execFile)(
        node,
        ['--no-warnings', '--import', 'tsx', 'bench/sink-contestant.mts', ...args],
        { cwd: root, timeout: 300_000 },
      )
      const result = JSON.parse(stdout) as Result
      const logBytesPerFact = (await logBytes(topic)) / result.produced
      results.get(name)?.push({ ...result, logBytesPerFact })
      process.stderr.write(`round ${round + 1}: ${name}: ${result.factsPerSecond}/s\n`)
    }
  }
} finally {
  await kafka.remove()
}

const base = median('factsPerSecond', contestants[0]?.name ?? '')
const table = contestants.map(({ name }) => ({
  contestant: name,
  'facts/s': Math.round(median('factsPerSecond', name)),
  '×': (median('factsPerSecond', name) / base).toFixed(2),
  'CPU µs/fact': median('cpuMicrosPerFact', name).toFixed(1),
  'log B/fact': Math.round(median('logBytesPerFact', name)),
  'RSS MB': median('rssMegabytes', name),
}))
console.table(table)
if (options.json)
  writeFileSync(
    options.json,
    `${JSON.stringify({ facts: options.facts, rounds: options.rounds, table, results: [...results] }, undefined, 2)}\n`,
  )

function median(field: keyof Result, name: string): number {
  const sorted = (results.get(name) ?? []).map((one) => one[field]).sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

async function logBytes(topic: string): Promise<number> {
  const args = ['--bootstrap-server', kafka.bootstrap.join(','), '--describe', '--topic-list', topic]
  const printed = await kafka.tool('org.apache.kafka.tools.LogDirsCommand', args)
  return [...printed.matchAll(/"size":(\d+)/g)].reduce((sum, [, size]) => sum + Number(size), 0)
}

function shuffled<T>(list: readonly T[]): T[] {
  return list
    .map((one) => ({ one, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ one }) => one)
}
