// From the bytes of the WAL stream to the bytes of Kafka's requests, without any server: what the relay itself costs.
//   npx tsx bench/hot-path.mts [--facts 400000] [--per-transaction 10] [--topics 1] [--rounds 5] [--json file]
// The stream comes from memory in chunks of 64 KiB, requests are encoded (no compression) and taken by a sink that keeps
// nothing. CPU is user and system of the process; bytes are what was allocated on V8's heap, by its sampling profiler.
import { parseArgs } from 'node:util'
import { createHotPath } from '../test/support/hot-path.ts'
import { commandLine, load, machine, median, writeJson } from './rounds.mts'

const { values } = parseArgs({
  options: {
    facts: { type: 'string', default: '400000' },
    'per-transaction': { type: 'string', default: '10' },
    topics: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'string' },
  },
})
const facts = Number(values.facts)
const path = createHotPath({ perTransaction: Number(values['per-transaction']), topics: Number(values.topics) })
await path.run(facts)
const cpu: number[] = []
for (let round = 0; round < Number(values.rounds); round++) {
  const before = process.cpuUsage()
  await path.run(facts)
  const { user, system } = process.cpuUsage(before)
  cpu.push((user + system) / facts)
}
const { heapBytesPerFact } = await path.measureHeap(facts)
console.log(machine(), 'load', load(), process.version)
const table = {
  'CPU µs/fact': median(cpu).toFixed(2),
  lowest: Math.min(...cpu).toFixed(2),
  'heap B/fact': Math.round(heapBytesPerFact),
  'RSS MB': Math.round(process.resourceUsage().maxRSS / 1024),
}
console.table(table)
writeJson(values.json, { command: commandLine('bench/hot-path.mts'), table })
process.exit(0)
