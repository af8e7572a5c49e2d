import pg from 'pg'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { type ChaosServers, createChaosBench, startChaosServers } from '../support/chaos.ts'
import { reachVerdict } from '../support/chaos-verdict.ts'
import { commitKey, commitMany } from '../support/load.ts'
import { waitFor } from '../support/wait.ts'

// What nobody but an operator can mend: the relay stops with an exit code of its own, and creates nothing silently.

const SLOT_GONE = 10
const SLOT_UNUSABLE = 11

// Servers that come back take their time where they share their cores.
vi.setConfig({ testTimeout: 180_000 })

let servers: ChaosServers
beforeAll(async () => {
  servers = await startChaosServers()
})

async function confirmedBench() {
  const bench = await createChaosBench(servers)
  const relay = bench.startRelay()
  await relay.whenStreaming()
  await commitMany({ url: bench.database.url, prefix: bench.prefix, facts: 64 })
  await bench.checker.whenCount(64)
  await bench.whenAllConfirmed()
  return { bench, relay }
}

describe('the slot', () => {
  it('is dropped while no relay runs: exit 10, and it is not made again', async () => {
    const { bench, relay } = await confirmedBench()
    await relay.kill()
    await bench.slot.drop()
    await commitKey({ url: bench.database.url, prefix: bench.prefix, key: 'k0' })
    const next = bench.startRelay()
    expect(await next.whenExited(20_000)).toEqual({ code: SLOT_GONE, signal: null })
    expect(next.output()).toMatch(/--accept-gap/)
    await expect(bench.slot.confirmedFlushLsn()).rejects.toThrow('does not exist')
  })

  it('is invalidated by max_slot_wal_keep_size while Kafka is down: exit 10, loudly', async () => {
    const { bench, relay } = await confirmedBench()
    for (const proxy of servers.kafkaProxies) proxy.blackhole(true)
    const settings = new pg.Client(servers.postgres.url)
    await settings.connect()
    try {
      await settings.query("ALTER SYSTEM SET max_slot_wal_keep_size = '2MB'")
      await settings.query('SELECT pg_reload_conf()')
      await commitKey({ url: bench.database.url, prefix: bench.prefix, key: 'k0' })
      await waitFor(
        async () => {
          await bench.database.query("SELECT pg_logical_emit_message(false, 'filler', 'x'), pg_switch_wal()")
          await settings.query('CHECKPOINT')
          const [slot] = await bench.database.query(
            'SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1',
            [bench.slot.name],
          )
          return slot?.['wal_status'] === 'lost'
        },
        { what: 'the slot to be lost', timeoutMs: 30_000 },
      )
      expect(await relay.whenExited(30_000)).toEqual({ code: SLOT_GONE, signal: null })
    } finally {
      await settings.query('ALTER SYSTEM RESET max_slot_wal_keep_size')
      await settings.query('SELECT pg_reload_conf()')
      await settings.end()
    }
  })
})

it('the publication is dropped under a relay: exit 11 with the remedy; made again, nothing is missing', async () => {
  const { bench, relay } = await confirmedBench()
  await bench.database.query(`DROP PUBLICATION ${bench.slot.publication}`)
  expect(await relay.whenExited(20_000)).toEqual({ code: SLOT_UNUSABLE, signal: null })
  expect(relay.output()).toMatch(/CREATE PUBLICATION/)
  await bench.database.query(`CREATE PUBLICATION ${bench.slot.publication}`)
  await commitMany({ url: bench.database.url, prefix: bench.prefix, facts: 32 })
  const overAtMs = Date.now()
  const next = bench.startRelay()
  await next.whenStreaming()
  const faults = [{ name: 'publication dropped', overAtMs }]
  await reachVerdict(bench, { scenario: 'Publication dropped and made again', faults })
  expect((await next.stop()).code).toBe(0)
})
