import { beforeAll, expect, it, vi } from 'vitest'
import { type ChaosBench, type ChaosServers, createChaosBench, startChaosServers, withAdmin } from '../support/chaos.ts'
import { reachVerdict } from '../support/chaos-verdict.ts'
import type { Fault } from '../support/checker.ts'
import { waitFor } from '../support/wait.ts'

// Three brokers: leaders move, copies are missing.

const FAILURES = 'factlib_kafka_produce_failures_total'

// Servers that come back take their time where they share their cores.
vi.setConfig({ testTimeout: 180_000 })

let servers: ChaosServers
beforeAll(async () => {
  servers = await startChaosServers({ brokers: 3 })
})

/** How many partitions of the load each broker leads, by broker id. */
async function leaders(bench: ChaosBench): Promise<Map<number, number>> {
  const { topics } = await withAdmin(servers.kafka.bootstrap, (admin) =>
    admin.fetchTopicMetadata({ topics: bench.topics.ours }),
  )
  const count = new Map<number, number>()
  for (const { leader } of topics.flatMap(({ partitions }) => partitions))
    count.set(leader, (count.get(leader) ?? 0) + 1)
  return count
}

it('leaders move under load: one broker stops in good order, one is killed', async () => {
  const bench = await createChaosBench(servers, { topic: { config: { 'min.insync.replicas': '2' } } })
  const relay = bench.startRelay()
  await relay.whenStreaming()
  const load = bench.startLoad()
  await load.whenCommitted(600)
  const faults: Fault[] = []
  for (const [index, how] of [
    [0, 'stop'],
    [1, 'kill'],
  ] as const) {
    const broker = servers.kafka.brokers[index] as (typeof servers.kafka.brokers)[number]
    await broker[how]()
    const overAtMs = Date.now()
    await bench.checker.whenRecovered(overAtMs)
    await waitFor(async () => !(await leaders(bench)).has(broker.id), { what: 'its leaders to have moved' })
    faults.push({ name: `leaders moved (${how})`, overAtMs: Date.now() })
    await load.whenCommitted(300)
    await broker.start()
  }
  await reachVerdict(bench, { scenario: 'Leaders move (one broker stopped, one killed)', brokers: 3, load, faults })
  expect((await relay.stop()).code).toBe(0)
})

it('not enough replicas: held until the third is back', async () => {
  const bench = await createChaosBench(servers, { topic: { config: { 'min.insync.replicas': '3' } } })
  const relay = bench.startRelay()
  await relay.whenStreaming()
  const load = bench.startLoad()
  await load.whenCommitted(600)
  const broker = servers.kafka.brokers[2] as (typeof servers.kafka.brokers)[number]
  await broker.kill()
  await waitFor(async () => (await relay.health()).status === 503, { what: '/health to be 503', timeoutMs: 30_000 })
  await waitFor(async () => (await relay.metric(FAILURES)) > 0, { what: 'refused requests', timeoutMs: 30_000 })
  expect(relay.output()).toMatch(/NOT_ENOUGH_REPLICAS/)
  await broker.start()
  const overAtMs = Date.now()
  await bench.checker.whenRecovered(overAtMs)
  const faults = [{ name: 'NOT_ENOUGH_REPLICAS', overAtMs }]
  await reachVerdict(bench, { scenario: 'NOT_ENOUGH_REPLICAS', brokers: 3, load, faults })
  expect((await relay.stop()).code).toBe(0)
})
