import { beforeAll, expect, it } from 'vitest'
import { createKafkajsTransactions } from '../../relay/kafka/kafkajs-transactions.ts'
import { silentLogger } from '../../relay/observer.ts'
import { type ChaosServers, type RelayProcess, startChaosServers } from '../support/chaos.ts'
import type { Fault } from '../support/checker.ts'
import { registerCleanup } from '../support/cleanup.ts'
import { createExactlyOnceBench, recovered } from '../support/exactly-once-bench.ts'
import { waitFor } from '../support/wait.ts'

// EXACTLY_ONCE=true: a consumer that reads committed sees each committed fact once, in order, whatever dies.

let servers: ChaosServers
beforeAll(async () => {
  servers = await startChaosServers({ brokers: 3 })
})

it('the relay is killed again and again under load', { timeout: 180_000 }, async () => {
  const bench = await createExactlyOnceBench(servers)
  let relay = bench.startRelay()
  await relay.whenStreaming()
  const load = bench.startLoad()
  await load.whenCommitted(600)
  const faults: Fault[] = []
  for (let time = 0; time < 6; time++) {
    await relay.kill()
    await load.whenCommitted(200)
    relay = bench.startRelay()
    await relay.whenStreaming()
    faults.push(await recovered(bench, 'SIGKILL'))
    await load.whenCommitted(300)
  }
  await bench.verdict('SIGKILL of the relay', load, faults)
  expect((await relay.stop()).code).toBe(0)
})

it('PostgreSQL ends the connection, and crashes after a checkpoint: all that was confirmed since comes again', {
  timeout: 180_000,
}, async () => {
  const bench = await createExactlyOnceBench(servers)
  const relay = bench.startRelay()
  await relay.whenStreaming()
  const load = bench.startLoad()
  await load.whenCommitted(600)
  const faults: Fault[] = []
  for (let time = 0; time < 3; time++) {
    const pid = await waitFor(() => bench.slot.activePid(), { what: 'the slot to be held' })
    await bench.database.query('SELECT pg_terminate_backend($1)', [pid])
    faults.push(await recovered(bench, 'pg_terminate_backend'))
  }
  for (let time = 0; time < 2; time++) {
    await bench.database.query('CHECKPOINT')
    await load.whenCommitted(800)
    await servers.postgres.stop('immediate')
    await servers.postgres.start()
    faults.push(await recovered(bench, 'immediate stop'))
  }
  await bench.verdict('PostgreSQL ends the connection, crashes', load, faults)
  expect(relay.output()).toContain('passed over facts that are in Kafka already')
  expect((await relay.stop()).code).toBe(0)
})

it('each broker is killed in turn, the coordinator of the transactions among them', { timeout: 240_000 }, async () => {
  const bench = await createExactlyOnceBench(servers)
  const relay = bench.startRelay()
  await relay.whenStreaming()
  const load = bench.startLoad()
  await load.whenCommitted(600)
  const faults: Fault[] = []
  for (const broker of servers.kafka.brokers) {
    await broker.kill()
    faults.push(await recovered(bench, `broker ${broker.id} killed`))
    await load.whenCommitted(300)
    await broker.start()
    await load.whenCommitted(600)
  }
  await bench.verdict('each of three brokers killed', load, faults)
  expect((await relay.stop()).code).toBe(0)
})

it('two relays: the one that works is killed, the other takes over', { timeout: 180_000 }, async () => {
  const bench = await createExactlyOnceBench(servers)
  let [working, standby] = [bench.startRelay(), undefined as RelayProcess | undefined]
  await working.whenStreaming()
  const load = bench.startLoad()
  const faults: Fault[] = []
  for (let time = 0; time < 3; time++) {
    standby = bench.startRelay()
    await standby.whenLine('standing by', 30_000)
    await load.whenCommitted(400)
    await working.kill()
    await standby.whenStreaming()
    faults.push(await recovered(bench, 'SIGKILL'))
    working = standby
  }
  await bench.verdict('two relays, one killed', load, faults)
  expect((await working.stop()).code).toBe(0)
})

it('a zombie that wakes past wal_sender_timeout stands by, and nothing of it is seen twice', {
  timeout: 180_000,
}, async () => {
  const bench = await createExactlyOnceBench(servers, { databaseSettings: { wal_sender_timeout: '2s' } })
  const zombie = bench.startRelay()
  await zombie.whenStreaming()
  const next = bench.startRelay()
  await next.whenLine('standing by', 30_000)
  const load = bench.startLoad()
  await load.whenCommitted(600)
  // A slow network: it is in the middle of a transaction at nearly every moment. What stops it may be the fence or the
  // stall guard, whichever is first.
  for (const proxy of servers.kafkaProxies) proxy.delayMs = 50
  await load.whenCommitted(600)
  zombie.signal('SIGSTOP')
  for (const proxy of servers.kafkaProxies) proxy.delayMs = 0
  await next.whenStreaming(1, 30_000)
  const faults = [await recovered(bench, 'SIGSTOP')]
  zombie.signal('SIGCONT')
  await zombie.whenLine('standing by', 40_000)
  await load.whenCommitted(600)
  await bench.verdict('zombie', load, faults)
  expect((await zombie.stop()).code).toBe(0)
  expect((await next.stop()).code).toBe(0)
})

it('a relay that is fenced while it holds the slot lets go of it, and works again', { timeout: 120_000 }, async () => {
  const bench = await createExactlyOnceBench(servers)
  const relay = bench.startRelay()
  await relay.whenStreaming()
  const load = bench.startLoad()
  await load.whenCommitted(600)
  const [system] = await bench.database.query<{ id: string }>(
    'SELECT system_identifier::text AS id FROM pg_control_system()',
  )
  const rival = createKafkajsTransactions({
    target: { clientId: 'rival', brokers: servers.kafka.bootstrap, tls: false, compression: 'none' },
    logger: silentLogger,
  })
  registerCleanup(() => rival.close())
  await rival.fence(`factlib-${system?.id}-${bench.slot.name}`)
  await relay.whenLine('another relay writes for this slot', 20_000)
  await relay.whenStreaming(2)
  const faults = [await recovered(bench, 'fenced')]
  await bench.verdict('fenced', load, faults)
  expect((await relay.stop()).code).toBe(0)
})
