import { beforeAll, describe, expect, it, vi } from 'vitest'
import { type ChaosBench, type ChaosServers, createChaosBench, healProxy, startChaosServers } from '../support/chaos.ts'
import { reachVerdict } from '../support/chaos-verdict.ts'
import { commitMany, type Load } from '../support/load.ts'
import { waitFor } from '../support/wait.ts'

// The relay dies, or is told to stop, at each of its steps. Its next life brings what is missing, and only that.

const CONSUMED = 'factlib_events_consumed_total'
const PRODUCED = 'factlib_kafka_produce_success_total'

// Servers that come back take their time where they share their cores.
vi.setConfig({ testTimeout: 180_000 })

let servers: ChaosServers
beforeAll(async () => {
  servers = await startChaosServers()
})

/** A relay that has delivered something to each partition, so that it waits for no metadata any more; all confirmed. */
async function warmBench() {
  const bench = await createChaosBench(servers)
  const relay = bench.startRelay()
  await relay.whenStreaming()
  await commitMany({ url: bench.database.url, prefix: bench.prefix, facts: 64 })
  await bench.checker.whenCount(64)
  await bench.whenAllConfirmed()
  const commit = (facts: number) => commitMany({ url: bench.database.url, prefix: bench.prefix, facts })
  return { bench, relay, commit, kafkaProxy: servers.kafkaProxies[0] as (typeof servers.kafkaProxies)[number] }
}

describe('SIGKILL', () => {
  it('after facts were received and before they were sent: each comes once', async () => {
    const { bench, relay, commit, kafkaProxy } = await warmBench()
    kafkaProxy.blackhole(true, 'toServer')
    await commit(320)
    await waitFor(async () => (await relay.metric(CONSUMED)) === 384, { what: 'the relay to have received all' })
    await relay.kill()
    // What the relay wrote to its socket goes with the relay.
    kafkaProxy.cut()
    healProxy(kafkaProxy)
    const result = await restartAndJudge(bench, 'SIGKILL when received')
    expect(result.duplicates).toBe(0)
  })

  it('after facts were sent and before the acknowledgement: they come twice at most, unchanged', async () => {
    const { bench, relay, commit, kafkaProxy } = await warmBench()
    kafkaProxy.blackhole(true, 'toClient')
    await commit(320)
    await bench.checker.whenCount(65)
    await relay.kill()
    kafkaProxy.cut()
    healProxy(kafkaProxy)
    const result = await restartAndJudge(bench, 'SIGKILL when sent')
    expect(result.duplicates).toBeGreaterThan(0)
    expect(result.duplicates).toBeLessThanOrEqual(320)
  })

  it('after the acknowledgement and before the status frame: they come twice, unchanged', async () => {
    const { bench, relay, commit } = await warmBench()
    bench.proxy.blackhole(true, 'toServer')
    await commit(320)
    await waitFor(async () => (await relay.metric(PRODUCED)) === 384, { what: 'Kafka to have acknowledged all' })
    await relay.kill()
    bench.proxy.cut()
    healProxy(bench.proxy)
    const result = await restartAndJudge(bench, 'SIGKILL when acknowledged')
    expect(result.duplicates).toBe(320)
  })

  it('after the status frame: nothing comes twice', async () => {
    const { bench, relay, commit } = await warmBench()
    let killed: Promise<unknown> | undefined
    bench.watch.listen({
      onUnit: (unit) => {
        if (unit.ids.length === 320)
          void bench.watch.whenConfirmed(unit.endLsn).then(() => {
            killed = relay.kill()
          })
      },
    })
    await commit(320)
    await waitFor(() => killed, { what: 'the frame' })
    await killed
    const result = await restartAndJudge(bench, 'SIGKILL when confirmed')
    expect(result.duplicates).toBe(0)
  })

  it('of a relay that was idle for 3 s: nothing comes twice', async () => {
    const { bench, relay } = await warmBench()
    const load = bench.startLoad()
    await load.whenCommitted(500)
    await load.stop()
    await bench.checker.whenCount(64 + load.committed)
    // Idle means confirmed, and that within 3 s.
    await bench.whenAllConfirmed(3_000)
    await relay.kill()
    const result = await restartAndJudge(bench, 'SIGKILL when idle', load)
    expect(result.duplicates).toBe(0)
  })

  it('under load, three times: each fact comes, duplicates are unchanged', async () => {
    const bench = await createChaosBench(servers)
    let relay = bench.startRelay()
    await relay.whenStreaming()
    const load = bench.startLoad()
    const faults = []
    for (let life = 0; life < 3; life++) {
      await load.whenCommitted(300)
      await relay.kill()
      faults.push({ name: 'SIGKILL', overAtMs: Date.now() })
      relay = bench.startRelay()
      await relay.whenStreaming()
    }
    await reachVerdict(bench, { scenario: 'SIGKILL under load', load, faults })
  })
})

it('SIGTERM under load: exit 0 within 20 s, and not one duplicate', async () => {
  const bench = await createChaosBench(servers)
  const relay = bench.startRelay()
  await relay.whenStreaming()
  const load = bench.startLoad()
  await load.whenCommitted(1_500)
  const exit = await relay.stop()
  expect(exit).toMatchObject({ code: 0, signal: null })
  expect(exit.tookMs).toBeLessThan(20_000)
  const overAtMs = Date.now()
  const next = bench.startRelay()
  await bench.checker.whenRecovered(overAtMs)
  const faults = [{ name: 'SIGTERM', overAtMs }]
  const result = await reachVerdict(bench, { scenario: 'SIGTERM under load', load, faults })
  expect(result.duplicates).toBe(0)
  expect((await next.stop()).code).toBe(0)
})

async function restartAndJudge(bench: ChaosBench, scenario: string, load?: Load) {
  const overAtMs = Date.now()
  const next = bench.startRelay()
  await next.whenStreaming()
  const faults = [{ name: 'SIGKILL', overAtMs }]
  const result = await reachVerdict(bench, { scenario, faults, ...(load && { load }) })
  expect((await next.stop()).code).toBe(0)
  return result
}
