import { fileURLToPath } from 'node:url'
import { beforeAll, expect, it, vi } from 'vitest'
import { type ChaosServers, createChaosBench, startChaosServers } from '../support/chaos.ts'
import { reachVerdict } from '../support/chaos-verdict.ts'
import type { Fault } from '../support/checker.ts'
import { waitFor } from '../support/wait.ts'

// Two relays on one slot: one works, the other stands by. And a relay whose clock is not to be trusted.

const CLOCK_JUMP = fileURLToPath(new URL('./clock-jump.mjs', import.meta.url))
const PRODUCED = 'factlib_kafka_produce_success_total'

// Servers that come back take their time where they share their cores.
vi.setConfig({ testTimeout: 180_000 })

let servers: ChaosServers
beforeAll(async () => {
  servers = await startChaosServers()
})

it('the one that works is killed: the other streams within 5 s of the slot being free', async () => {
  const bench = await createChaosBench(servers)
  const first = bench.startRelay()
  await first.whenStreaming()
  const second = bench.startRelay()
  await second.whenLine('standing by', 20_000)
  expect(await second.health()).toEqual({ status: 200, text: 'OK' })
  const load = bench.startLoad()
  await load.whenCommitted(600)
  const holder = await bench.slot.activePid()
  await first.kill()
  await waitFor(async () => (await bench.slot.activePid()) !== holder, {
    what: 'the server to release the slot',
    intervalMs: 5,
  })
  const overAtMs = Date.now()
  await second.whenStreaming(1, 5_000)
  expect(Date.now() - overAtMs).toBeLessThan(5_000)
  await bench.checker.whenRecovered(overAtMs)
  await reachVerdict(bench, { scenario: 'Two relays, one killed', load, faults: [{ name: 'SIGKILL', overAtMs }] })
  expect((await second.stop()).code).toBe(0)
})

it('the one that works stands still past wal_sender_timeout, and goes on as a zombie: it produces nothing late', async () => {
  const bench = await createChaosBench(servers, { databaseSettings: { wal_sender_timeout: '2s' } })
  const [kafkaProxy] = servers.kafkaProxies as [(typeof servers.kafkaProxies)[number]]
  // One record a request, and a slow network: most of what it has received waits in its lanes.
  const zombie = bench.startRelay({ SEND_RECORDS: '1' })
  await zombie.whenStreaming()
  const next = bench.startRelay()
  await next.whenLine('standing by', 20_000)
  const load = bench.startLoad()
  await load.whenCommitted(300)
  kafkaProxy.delayMs = 100
  await load.whenCommitted(600)
  const produced = await zombie.metric(PRODUCED)
  zombie.signal('SIGSTOP')
  kafkaProxy.delayMs = 0
  await next.whenStreaming(1, 20_000)
  const overAtMs = Date.now()
  await bench.checker.whenRecovered(overAtMs)
  zombie.signal('SIGCONT')
  await zombie.whenLine('standing by', 20_000)
  const faults: Fault[] = [{ name: 'SIGSTOP', overAtMs }]
  await reachVerdict(bench, { scenario: 'Zombie (SIGSTOP past wal_sender_timeout)', load, faults })
  // One request for each of the six partitions was on its way when it stood still, and perhaps one more when we had asked.
  expect((await zombie.metric(PRODUCED)) - produced).toBeLessThanOrEqual(18)
  expect((await zombie.stop()).code).toBe(0)
  expect((await next.stop()).code).toBe(0)
})

it('its clock jumps an hour ahead, and two hours back', async () => {
  const bench = await createChaosBench(servers)
  const relay = bench.startRelay({ NODE_OPTIONS: `--import ${CLOCK_JUMP}` })
  await relay.whenStreaming()
  const load = bench.startLoad()
  await load.whenCommitted(300)
  const faults: Fault[] = []
  for (let jump = 0; jump < 3; jump++) {
    relay.signal('SIGUSR2')
    const overAtMs = Date.now()
    faults.push({ name: 'clock jump', overAtMs })
    await bench.checker.whenRecovered(overAtMs)
    await load.whenCommitted(300)
  }
  const result = await reachVerdict(bench, { scenario: 'Clock jump', load, faults })
  expect(result.duplicates).toBe(0)
  expect((await relay.stop()).code).toBe(0)
})
