// From the bytes of the WAL stream to the bytes of Kafka's requests, without any server: what the relay itself costs.
//   npx tsx bench/hot-path.mts [--facts 400000] [--per-transaction 10] [--rounds 5]
// The stream comes from memory in chunks of 64 KiB, requests are encoded (no compression) and taken by a sink that keeps
// nothing. CPU is user and system of the process; bytes are what was allocated on V8's heap, by its sampling profiler.
import { parseArgs } from 'node:util'
import { createHotPath } from '../test/support/hot-path.ts'
import { load, machine, median } from './rounds.mts'

const { values } = parseArgs({
  options: {
    facts: { type: 'string', default: '400000' },
    'per-transaction': { type: 'string', default: '10' },
    topics: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '5' },
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
console.table({
  'CPU µs/fact': median(cpu).toFixed(2),
  lowest: Math.min(...cpu).toFixed(2),
  'heap B/fact': Math.round(heapBytesPerFact),
  'RSS MB': Math.round(process.resourceUsage().maxRSS / 1024),
})
process.exit(0)
