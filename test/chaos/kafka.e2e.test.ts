import { beforeAll, describe, expect, it, vi } from 'vitest'
import {
  type ChaosBench,
  type ChaosBenchOptions,
  type ChaosServers,
  createChaosBench,
  healProxy,
  type RelayProcess,
  startChaosServers,
  withAdmin,
} from '../support/chaos.ts'
import { reachVerdict } from '../support/chaos-verdict.ts'
import type { Fault } from '../support/checker.ts'
import { commitKey, commitMany } from '../support/load.ts'
import { waitFor } from '../support/wait.ts'

// Kafka is away, silent, half there, or lacks what is needed. The same batch again for ever; memory stays bounded.

/** Facts that the relay knows to be in Kafka. */
const HANDLED = 'factlib_event_handler_success_total'
/** `npm run chaos -- --all`: 2,000 facts a second, and a transaction of 1,000,000. */
const LONG = process.env['FACTLIB_CHAOS_LONG'] === '1'
const MEMORY_BYTES = 300 * 1024 * 1024

// Servers that come back take their time where they share their cores.
vi.setConfig({ testTimeout: 180_000 })

let servers: ChaosServers
let kafkaProxy: ChaosServers['kafkaProxies'][number]
beforeAll(async () => {
  servers = await startChaosServers()
  kafkaProxy = servers.kafkaProxies[0] as typeof kafkaProxy
})

async function underLoad(options?: ChaosBenchOptions, env?: Record<string, string>) {
  const bench = await createChaosBench(servers, options)
  const relay = bench.startRelay(env)
  await relay.whenStreaming()
  const load = bench.startLoad()
  await load.whenCommitted(600)
  return { bench, relay, load }
}

async function recovered(bench: ChaosBench, name: string, timeoutMs = 40_000): Promise<Fault> {
  const fault = { name, overAtMs: Date.now() }
  await bench.checker.whenRecovered(fault.overAtMs, timeoutMs)
  return fault
}

/** The client repeats a request by itself a few times before it fails; /health says it sooner. */
async function whenUnhealthy(relay: RelayProcess): Promise<void> {
  await waitFor(async () => (await relay.health()).status === 503, { what: '/health to be 503', timeoutMs: 15_000 })
}

describe('the broker', () => {
  it('is killed and started again', async () => {
    const { bench, relay, load } = await underLoad()
    const [broker] = servers.kafka.brokers
    await broker?.kill()
    await load.whenCommitted(600)
    await broker?.start()
    const faults = [await recovered(bench, 'broker killed')]
    await reachVerdict(bench, { scenario: 'Broker killed and restarted', load, faults })
    expect((await relay.stop()).code).toBe(0)
  })

  it('stands still for 10 s, longer than a request may take', async () => {
    const { bench, relay, load } = await underLoad()
    const [broker] = servers.kafka.brokers
    broker?.pause()
    await whenUnhealthy(relay)
    broker?.resume()
    const faults = [await recovered(bench, 'broker paused')]
    await reachVerdict(bench, { scenario: 'Broker stands still', load, faults })
    expect((await relay.stop()).code).toBe(0)
  })

  it('is absent at the start: not healthy, and all comes when it is there', async () => {
    const bench = await createChaosBench(servers)
    kafkaProxy.refuse(true)
    const relay = bench.startRelay()
    await relay.whenStreaming()
    const load = bench.startLoad()
    await load.whenCommitted(600)
    await waitFor(async () => (await relay.health()).status === 503, { what: '/health to be 503' })
    expect((await relay.health()).text).toMatch(/^Not OK: /)
    healProxy(kafkaProxy)
    const faults = [await recovered(bench, 'broker absent')]
    await waitFor(async () => (await relay.health()).status === 200, { what: '/health to be 200', timeoutMs: 40_000 })
    const result = await reachVerdict(bench, { scenario: 'Broker absent at start', load, faults })
    expect(result.duplicates).toBe(0)
    expect((await relay.stop()).code).toBe(0)
  })
})

describe('the network to Kafka', () => {
  it('loses acknowledgements: the broker has the records, the relay sends them again, nothing comes twice', async () => {
    const { bench, relay, load } = await underLoad()
    const faults: Fault[] = []
    for (let time = 0; time < 5; time++) {
      kafkaProxy.blackhole(true, 'toClient')
      // The broker has more than the relay knows of.
      await bench.checker.whenCount((await relay.metric(HANDLED)) + 1)
      kafkaProxy.cut()
      kafkaProxy.blackhole(false)
      faults.push(await recovered(bench, 'acknowledgement lost'))
    }
    const result = await reachVerdict(bench, { scenario: 'Lost acknowledgement', load, faults })
    expect(result.duplicates).toBe(0)
    expect((await relay.stop()).code).toBe(0)
  })

  it('is cut inside requests and answers', async () => {
    const { bench, relay, load } = await underLoad()
    const faults: Fault[] = []
    for (const [bytes, direction] of [
      [3, 'toServer'],
      [5_000, 'toServer'],
      [2, 'toClient'],
      [30, 'toClient'],
    ] as const) {
      const passed = kafkaProxy.bytes[direction]
      kafkaProxy.cutAfter(bytes, direction)
      await waitFor(() => kafkaProxy.bytes[direction] > passed + bytes, { what: 'the cut, and bytes after it' })
      faults.push(await recovered(bench, `cut after ${bytes} bytes ${direction}`))
    }
    const result = await reachVerdict(bench, { scenario: 'TCP cut to Kafka inside a frame', load, faults })
    expect(result.duplicates).toBe(0)
    expect((await relay.stop()).code).toBe(0)
  })

  it('is a black hole both ways', async () => {
    const { bench, relay, load } = await underLoad()
    kafkaProxy.blackhole(true)
    await whenUnhealthy(relay)
    kafkaProxy.cut()
    kafkaProxy.blackhole(false)
    const faults = [await recovered(bench, 'black hole')]
    await reachVerdict(bench, { scenario: 'Black hole to Kafka', load, faults })
    expect((await relay.stop()).code).toBe(0)
  })
})

describe('topics', () => {
  it('one is missing: its facts wait, the others go on, /health says which; after a restart each comes', async () => {
    const bench = await createChaosBench(servers, { without: ['order'] })
    const writer = { url: bench.database.url, prefix: bench.prefix }
    const relay = bench.startRelay()
    await relay.whenStreaming()
    // Transaction N cannot be produced, N + 1 can.
    await commitKey({ ...writer, key: 'k0', facts: 3 })
    const sinceMs = performance.now()
    await commitKey({ ...writer, key: 'k1', facts: 3 })
    await bench.checker.whenCount(3)
    await waitFor(async () => (await relay.health()).status === 503, { what: '/health to be 503', timeoutMs: 15_000 })
    expect(performance.now() - sinceMs).toBeLessThan(15_000)
    expect((await relay.health()).text).toContain(`${bench.prefix}.order`)
    const [first] = bench.watch.units
    expect(bench.watch.frames.every(({ confirmedLsn }) => confirmedLsn < (first?.endLsn ?? 0n))).toBe(true)
    await relay.kill()
    await bench.createTopic(`${bench.prefix}.order`)
    const overAtMs = Date.now()
    const next = bench.startRelay()
    await next.whenStreaming()
    const faults = [{ name: 'topic missing', overAtMs }]
    const result = await reachVerdict(bench, { scenario: 'Topic missing; N fails, N + 1 succeeds, restart', faults })
    expect(result.duplicates).toBe(3)
    expect((await next.stop()).code).toBe(0)
  })

  it('grow: what moves to another partition does not overtake itself', async () => {
    const { bench, relay, load } = await underLoad({ topic: { partitions: 1 } })
    await withAdmin(servers.kafka.bootstrap, (admin) =>
      admin.createPartitions({ topicPartitions: bench.topics.ours.map((topic) => ({ topic, count: 4 })) }),
    )
    const overAtMs = Date.now()
    await waitFor(
      async () => {
        await bench.checker.read()
        return bench.checker.partitionsWithRecords >= 6
      },
      { what: 'records in the new partitions', timeoutMs: 45_000, intervalMs: 250 },
    )
    const faults = [{ name: 'partitions added', overAtMs }]
    const result = await reachVerdict(bench, { scenario: 'Partitions added', load, faults })
    expect(result.duplicates).toBe(0)
    expect((await relay.stop()).code).toBe(0)
  })
})

it('Kafka is down under 1,000 facts a second, with a large transaction: memory stays under 300 MB', {
  timeout: LONG ? 900_000 : 300_000,
}, async () => {
  const bench = await createChaosBench(servers)
  const relay = bench.startRelay()
  await relay.whenStreaming()
  const load = bench.startLoad({ factsPerSecond: LONG ? 2_000 : 1_000 })
  await load.whenCommitted(500)
  kafkaProxy.cut()
  kafkaProxy.refuse(true)
  await commitMany({ url: bench.database.url, prefix: bench.prefix, facts: LONG ? 1_000_000 : 60_000 })
  await load.whenCommitted(LONG ? 100_000 : 6_000, LONG ? 300_000 : 120_000)
  healProxy(kafkaProxy)
  // New facts come behind the backlog.
  const faults = [await recovered(bench, 'Kafka down', LONG ? 300_000 : 40_000)]
  await reachVerdict(bench, {
    scenario: `Kafka down under load, a transaction of ${LONG ? '1,000,000' : '60,000'} facts`,
    load,
    faults,
    timeoutMs: LONG ? 240_000 : 60_000,
  })
  expect(await relay.peakBytes()).toBeLessThan(MEMORY_BYTES)
  expect((await relay.stop()).code).toBe(0)
})
