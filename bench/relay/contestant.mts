// One contestant of bench/relay.mts in a process of its own; prints one line of JSON.
//   BENCH_SETTINGS=<JSON> node contestant.js <relay|prototype|read|memory>
// Counted, by this process itself: from the moment when the stream has started (memory: the first send) to the moment
// when the last fact is acknowledged by Kafka (relay: and its position confirmable). CPU is user and system of this
// process, all threads, in the same span. RSS is the peak of the whole process, start and stop included.
import { limitYoungGeneration } from '../../relay/cli/young-generation.ts'
import type { RelayObserver } from '../../relay/types.ts'
import { runMemory, runPrototype } from './prototype.mts'
import { type ContestantResult, type ContestantSettings, peakMegabytes, startSpan } from './span.mts'

async function runRelay(settings: ContestantSettings): Promise<ContestantResult> {
  const { createRelay } = (await import(settings.relayModule)) as typeof import('../../relay/index.ts')
  const { createRelayMetrics } = await import('../../relay/ops/metrics.ts')
  const { observer } = createRelayMetrics()
  let requests = 0
  // As the command line has it: with metrics, and a small young generation.
  limitYoungGeneration()
  const counting: RelayObserver = {
    ...observer,
    produced(topic, records, seconds) {
      requests++
      observer.produced(topic, records, seconds)
    },
  }
  const relay = createRelay({
    prefix: settings.prefix,
    databaseUrl: settings.url,
    slotName: settings.slot,
    publicationName: settings.publication,
    kafkaBrokers: [...settings.brokers],
    kafkaClient: settings.client,
    kafkaCompression: settings.codec,
    observer: counting,
  })
  await relay.start()
  const span = startSpan(settings.facts)
  const startedMs = performance.now()
  await relay.whenFlushed(settings.endLsn)
  const result = span()
  await relay.stop()
  return {
    ...result,
    rssMegabytes: peakMegabytes(),
    requests: Math.round((requests / settings.facts) * 10_000),
    confirmedSeconds: (performance.now() - startedMs) / 1000,
  }
}

/** As often as there are slots; a process that has relayed nothing yet costs more a fact than it will. */
async function runRelays(settings: ContestantSettings): Promise<ContestantResult> {
  if (settings.warmUp) await runRelay({ ...settings, ...settings.warmUp })
  const results: ContestantResult[] = []
  for (const slot of [settings.slot, ...(settings.moreSlots ?? [])]) results.push(await runRelay({ ...settings, slot }))
  const average = (pick: (result: ContestantResult) => number | undefined) =>
    results.reduce((sum, result) => sum + (pick(result) ?? 0), 0) / results.length
  return {
    seconds: average(({ seconds }) => seconds),
    cpuMicrosPerFact: average(({ cpuMicrosPerFact }) => cpuMicrosPerFact),
    rssMegabytes: peakMegabytes(),
    requests: Math.round(average(({ requests }) => requests)),
    confirmedSeconds: average(({ confirmedSeconds }) => confirmedSeconds),
  }
}

const [mode] = process.argv.slice(2)
const settings = JSON.parse(process.env['BENCH_SETTINGS'] ?? '') as ContestantSettings
const result = await (mode === 'relay'
  ? runRelays(settings)
  : mode === 'memory'
    ? runMemory(settings)
    : runPrototype(settings, mode === 'prototype'))
process.stdout.write(`${JSON.stringify(result)}\n`)
process.exit(0)
