import pg from 'pg'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import {
  type ChaosBench,
  type ChaosBenchOptions,
  type ChaosServers,
  createChaosBench,
  healProxy,
  startChaosServers,
} from '../support/chaos.ts'
import { reachVerdict } from '../support/chaos-verdict.ts'
import type { Fault } from '../support/checker.ts'
import { commitKey, commitMany, openTransaction } from '../support/load.ts'
import type { SentUnit } from '../support/status-frames.ts'
import { waitFor } from '../support/wait.ts'

// PostgreSQL stops, crashes, cuts us off, or is not to be reached. The relay outlives all of it.

// Servers that come back take their time where they share their cores.
vi.setConfig({ testTimeout: 180_000 })

let servers: ChaosServers
beforeAll(async () => {
  servers = await startChaosServers()
})

async function underLoad(options?: ChaosBenchOptions, env?: Record<string, string>) {
  const bench = await createChaosBench(servers, options)
  const relay = bench.startRelay(env)
  await relay.whenStreaming()
  const load = bench.startLoad()
  await load.whenCommitted(600)
  return { bench, relay, load }
}

/** The fault is over now: resolves when facts come again, which must be within 40 s. */
async function recovered(bench: ChaosBench, name: string): Promise<Fault> {
  const fault = { name, overAtMs: Date.now() }
  await bench.checker.whenRecovered(fault.overAtMs, 40_000)
  return fault
}

describe('PostgreSQL', () => {
  it('terminates the backend, three times', async () => {
    const { bench, relay, load } = await underLoad()
    const faults: Fault[] = []
    for (let time = 0; time < 3; time++) {
      const pid = await waitFor(() => bench.slot.activePid(), { what: 'the slot to be held' })
      await bench.database.query('SELECT pg_terminate_backend($1)', [pid])
      faults.push(await recovered(bench, 'pg_terminate_backend'))
    }
    await reachVerdict(bench, { scenario: 'pg_terminate_backend', load, faults })
    expect((await relay.stop()).code).toBe(0)
  })

  it('crashes after a checkpoint (immediate stop), and is started again', async () => {
    const { bench, relay, load } = await underLoad()
    await bench.database.query('CHECKPOINT')
    await load.whenCommitted(600)
    await servers.postgres.stop('immediate')
    await servers.postgres.start()
    const faults = [await recovered(bench, 'immediate stop')]
    await reachVerdict(bench, { scenario: 'PostgreSQL crash (immediate stop)', load, faults })
    expect((await relay.stop()).code).toBe(0)
  })

  it('is killed (SIGKILL of the postmaster), and is started again', async () => {
    const { bench, relay, load } = await underLoad()
    await servers.postgres.kill()
    await servers.postgres.start()
    const faults = [await recovered(bench, 'SIGKILL of PostgreSQL')]
    await reachVerdict(bench, { scenario: 'PostgreSQL killed', load, faults })
    expect((await relay.stop()).code).toBe(0)
  })

  it('is restarted in good order', async () => {
    const { bench, relay, load } = await underLoad()
    const sinceMs = performance.now()
    await servers.postgres.stop('fast')
    expect(performance.now() - sinceMs).toBeLessThan(10_000)
    await servers.postgres.start()
    const faults = [await recovered(bench, 'restart')]
    await reachVerdict(bench, { scenario: 'PostgreSQL restart', load, faults })
    expect((await relay.stop()).code).toBe(0)
  })

  it('is stopped (fast) with Kafka down and facts pending: not held up for 10 s', async () => {
    const { bench, relay, load } = await underLoad()
    for (const proxy of servers.kafkaProxies) {
      proxy.cut()
      proxy.refuse(true)
    }
    await load.whenCommitted(1_000)
    const sinceMs = performance.now()
    await servers.postgres.stop('fast')
    expect(performance.now() - sinceMs).toBeLessThan(10_000)
    await servers.heal()
    const faults = [await recovered(bench, 'fast stop, Kafka down')]
    await reachVerdict(bench, { scenario: 'PostgreSQL fast stop, Kafka down', load, faults })
    expect((await relay.stop()).code).toBe(0)
  })
})

describe('the network to PostgreSQL', () => {
  it('is cut inside frames, both ways', async () => {
    const { bench, relay, load } = await underLoad()
    const faults: Fault[] = []
    for (const [bytes, direction] of [
      [1, 'toClient'],
      [4_321, 'toClient'],
      [70_001, 'toClient'],
      [7, 'toServer'],
      [20, 'toServer'],
    ] as const) {
      const before = bench.watch.connections
      bench.proxy.cutAfter(bytes, direction)
      await waitFor(() => bench.watch.connections > before, { what: 'a new connection', timeoutMs: 40_000 })
      faults.push(await recovered(bench, `cut after ${bytes} bytes ${direction}`))
    }
    await reachVerdict(bench, { scenario: 'TCP cut inside a frame', load, faults })
    expect((await relay.stop()).code).toBe(0)
  })

  for (const direction of ['toServer', 'toClient'] as const)
    it(`is a black hole ${direction}: the connection is given up, and another made`, async () => {
      const { bench, relay, load } = await underLoad({ databaseSettings: { wal_sender_timeout: '2s' } })
      bench.proxy.blackhole(true, direction)
      await relay.whenLine(/connecting again/, 20_000)
      // The holes of connections that were given up stay holes.
      bench.proxy.cut()
      healProxy(bench.proxy)
      const faults = [await recovered(bench, `black hole ${direction}`)]
      await reachVerdict(bench, { scenario: `Black hole to PostgreSQL, ${direction}`, load, faults })
      expect((await relay.stop()).code).toBe(0)
    })

  it('outlives a Kafka that is slow for three times wal_sender_timeout, on one connection', async () => {
    const { bench, relay, load } = await underLoad(
      { databaseSettings: { wal_sender_timeout: '2s' } },
      { WINDOW_FACTS: '50' },
    )
    const [kafkaProxy] = servers.kafkaProxies
    kafkaProxy?.blackhole(true, 'toClient')
    const frames = bench.watch.frames.length
    const sinceMs = Date.now()
    await waitFor(() => Date.now() - sinceMs > 6_000 && bench.watch.frames.length > frames + 5, {
      what: 'status frames while reading is paused',
    })
    healProxy(kafkaProxy as NonNullable<typeof kafkaProxy>)
    const faults = [await recovered(bench, 'slow reader')]
    const result = await reachVerdict(bench, { scenario: 'Slow reader', load, faults })
    expect(bench.watch.connections).toBe(1)
    expect(result.duplicates).toBe(0)
    expect((await relay.stop()).code).toBe(0)
  })
})

describe('the position', () => {
  it('is the exact end of a commit: of two adjacent ones the second comes although the first was confirmed', async () => {
    const { bench, relay, user } = await adjacentCommits()
    await relay.kill()
    await bench.createTopic(user)
    const overAtMs = Date.now()
    const next = bench.startRelay()
    await next.whenStreaming()
    await reachVerdict(bench, { scenario: 'Adjacent commits', faults: [{ name: 'SIGKILL', overAtMs }] })
    expect((await next.stop()).code).toBe(0)
  })

  it('moves on while the database is idle and another one writes', async () => {
    const bench = await createChaosBench(servers, { databaseSettings: { wal_sender_timeout: '2s' } })
    const relay = bench.startRelay()
    await relay.whenStreaming()
    await commitMany({ url: bench.database.url, prefix: bench.prefix, facts: 32 })
    await bench.checker.whenCount(32)
    await bench.whenAllConfirmed()
    const other = new pg.Client(servers.postgres.url)
    await other.connect()
    await other.query('CREATE TABLE IF NOT EXISTS elsewhere (filler text)')
    await other.query('INSERT INTO elsewhere SELECT repeat(md5(g::text), 30) FROM generate_series(1, 8000) g')
    const { rows } = await other.query("SELECT (pg_current_wal_lsn() - '0/0')::text AS lsn")
    await other.end()
    await waitFor(async () => (await bench.slot.confirmedFlushLsn()) >= BigInt(rows[0].lsn) - 65_536n, {
      what: 'the slot to move',
      timeoutMs: 20_000,
    })
    const result = await reachVerdict(bench, { scenario: 'Idle database, another writes', faults: [] })
    expect(result.duplicates).toBe(0)
    expect((await relay.stop()).code).toBe(0)
  })
})

/**
 * Two transactions whose commit records lie side by side, the second of a topic that does not exist yet; a frame has confirmed the
 * first.
 */
async function adjacentCommits() {
  for (let attempt = 1; ; attempt++) {
    const bench = await createChaosBench(servers, { without: ['user'] })
    const relay = bench.startRelay()
    await relay.whenStreaming()
    const writer = { url: bench.database.url, prefix: bench.prefix }
    await commitKey({ ...writer, key: 'k0' })
    await bench.checker.whenCount(1)
    await bench.whenAllConfirmed()
    const [first, second] = [
      await openTransaction({ ...writer, key: 'k0' }),
      await openTransaction({ ...writer, key: 'k1' }),
    ]
    // One after the other: at once, either may be the first.
    await first.commit()
    await second.commit()
    await waitFor(() => bench.watch.units.length === 3, { what: 'both to be sent' })
    const [, one, other] = bench.watch.units as [SentUnit, SentUnit, SentUnit]
    const user = `${bench.prefix}.user`
    const firstIsOrder = await isOfTopic(bench, one.ids, `${bench.prefix}.order`)
    if (firstIsOrder && other.commitLsn === one.endLsn) {
      await waitFor(async () => (await bench.slot.confirmedFlushLsn()) >= one.endLsn, {
        what: 'the first to be confirmed',
      })
      return { bench, relay, user }
    }
    // Something was written between the two.
    if (attempt === 10) throw new Error('no two adjacent commits in ten attempts')
    await relay.kill()
  }
}

async function isOfTopic(bench: ChaosBench, ids: readonly string[], topic: string): Promise<boolean> {
  const rows = await bench.database.query('SELECT FROM chaos_facts WHERE id = ANY ($1) AND topic = $2', [ids, topic])
  return rows.length === ids.length
}
