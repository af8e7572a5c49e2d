import { expect, it, vi } from 'vitest'
import { waitFor } from '../../support/wait.ts'
import { createStage, portsOf, SLOT, type StagedServer, stopRelay, whenStreaming } from './stage.ts'

// docs/operations.md: an upgrade of PostgreSQL, a failover with and without a slot that follows, a lost slot. Its commands, on
// real servers; facts are emitted between them, and at the end each one is in Kafka that the guide says is there.

vi.setConfig({ testTimeout: 180_000 })

it('a major upgrade from before 17: drained, dropped, made again on the new server; nothing is lost', async () => {
  const stage = createStage()
  const [old, next] = await Promise.all([
    stage.serve({ version: 15, name: 'guide-old' }),
    stage.serve({ version: 18, name: 'guide-new' }),
  ])
  await stage.topics({ topic: 'order' })
  const before = await stage.player(old)
  await before.play('install-setup')
  const relay = before.startRelay()
  await whenStreaming(relay)
  const first = await old.emit()
  await stage.delivered('order', 1)
  const { healthPort, metricsPort } = await portsOf(relay)
  const names = { 'localhost:3001': `127.0.0.1:${healthPort}`, 'localhost:2112': `127.0.0.1:${metricsPort}` }
  await before.play('upgrade-drained', { env: {}, names })
  expect(await stopRelay(relay)).toBe(0)
  await before.play('upgrade-drop')

  // In place of pg_upgrade: role, rights, memory and publication on the new cluster, without the slot.
  const after = await stage.player(next)
  await after.play('install-setup')
  await next.query('SELECT pg_drop_replication_slot($1)', [SLOT])
  await after.play('upgrade-setup')
  const again = after.startRelay()
  await whenStreaming(again)
  const second = await next.emit()
  expect(await stage.delivered('order', 2)).toEqual([first, second])
  expect(await stopRelay(again)).toBe(0)
})

it('a major upgrade that keeps the slot: moved over what holds no fact it has caught up; the new cluster is another one', async () => {
  const stage = createStage()
  const shop = await stage.serve({ version: 18, name: 'guide', settings: { autovacuum: 'off' } })
  await stage.topics({ topic: 'order' })
  const player = await stage.player(shop)
  await player.play('install-setup')
  const relay = player.startRelay()
  await whenStreaming(relay)
  const first = await shop.emit()
  await stage.delivered('order', 1)
  expect(await stopRelay(relay)).toBe(0)
  await shop.query('CREATE TABLE orders AS SELECT generate_series(1, 100) AS id')
  // What pg_upgrade asks, in the mode in which it asks.
  const hasCaughtUp = async () => {
    await shop.server.stop('fast')
    await shop.server.start(['-b'])
    const rows = await shop.query('SELECT binary_upgrade_logical_slot_has_caught_up($1) AS yes', [SLOT])
    await shop.server.stop('fast')
    await shop.server.start()
    return rows[0]?.['yes']
  }
  expect(await hasCaughtUp()).toBe(false)
  await player.play('upgrade-advance')
  expect(await hasCaughtUp()).toBe(true)

  // pg_upgrade brings slot and memory to a cluster with an identity of its own.
  await shop.query('UPDATE factlib.relay_slots SET system_id = system_id - 1')
  await player.play('upgrade-other-cluster')
  const again = player.startRelay()
  await whenStreaming(again)
  const second = await shop.emit()
  expect(await stage.delivered('order', 2)).toEqual([first, second])
  expect(await stopRelay(again)).toBe(0)
})

async function withStandby(stage: ReturnType<typeof createStage>, version: 15 | 18) {
  const primary = await stage.serve({ version, name: 'guide-primary' })
  await primary.query("SELECT pg_create_physical_replication_slot('standby_1', true)")
  const standby = await stage.serve({
    standbyOf: { primary: primary.server, slot: 'standby_1' },
    name: 'guide-standby',
  })
  const url = new URL(primary.relayUrl)
  const relayUrl = `postgres://${url.username}:${url.password}@${primary.address},${standby.address}/shop`
  await stage.topics({ topic: 'order' })
  return { primary, standby, relayUrl }
}

async function whenReplayed(primary: StagedServer, standby: StagedServer): Promise<void> {
  const [end] = await primary.query('SELECT pg_current_wal_flush_lsn()::text AS lsn')
  await waitFor(
    async () =>
      (await standby.query('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS yes', [end?.['lsn']]))[0]?.['yes'],
    { what: 'the standby to have it' },
  )
}

it('a failover with a slot that follows: the relay goes on by itself, and nothing is lost', async () => {
  const stage = createStage()
  const { primary, standby, relayUrl } = await withStandby(stage, 18)
  const env = { STANDBY_URL: standby.adminUrl }
  await (await stage.player(primary)).play('install-setup')
  const player = await stage.player(primary, { ...env, MASTER_DATABASE_URL: relayUrl })
  await player.play('failover-alter')
  await player.play('failover-primary')
  await player.play('failover-standby')
  const relay = player.startRelay()
  await whenStreaming(relay)
  const facts = [await primary.emit()]
  await waitFor(
    async () => {
      // It is taken over once the primary's position has moved past what the standby can keep.
      facts.push(await primary.emit())
      await primary.query('SELECT pg_log_standby_snapshot()')
      const [row] = await standby.query(
        'SELECT synced AND NOT temporary AS yes FROM pg_replication_slots WHERE slot_name = $1',
        [SLOT],
      )
      return row?.['yes']
    },
    { what: 'the slot to be on the standby', timeoutMs: 90_000, intervalMs: 500 },
  )
  await player.play('failover-ready')
  for (let n = 0; n < 20; n++) facts.push(await primary.emit())
  await whenReplayed(primary, standby)
  await primary.server.stop('immediate')
  await player.play('failover-promote')
  facts.push(await standby.emit())
  await waitFor(async () => new Set(await stage.delivered('order', facts.length)).size === facts.length, {
    what: 'every fact to arrive',
    timeoutMs: 60_000,
  })
  expect(new Set(await stage.delivered('order', facts.length))).toEqual(new Set(facts))
  await player.play('failover-after')
  expect(await stopRelay(relay)).toBe(0)
})

it('a failover without one: exit 10, then a new slot and the rest from the old server', async () => {
  const stage = createStage()
  const { primary, standby, relayUrl } = await withStandby(stage, 15)
  await (await stage.player(primary)).play('install-setup')
  const player = await stage.player(standby, {
    MASTER_DATABASE_URL: relayUrl,
    OLD_DATABASE_URL: primary.relayUrl,
    STANDBY_URL: standby.adminUrl,
  })
  const relay = player.startRelay()
  await whenStreaming(relay)
  const first = await primary.emit()
  await stage.delivered('order', 1)
  expect(await stopRelay(relay)).toBe(0)
  const waiting = await primary.emit()
  await whenReplayed(primary, standby)
  await primary.server.stop('immediate')
  await player.play('failover-promote')
  await player.play('no-slot-halt')
  await player.play('no-slot-memory')
  await player.play('no-slot-accept')
  const next = player.startRelay()
  await whenStreaming(next)
  const after = await standby.emit()
  expect(await stage.delivered('order', 2)).toEqual([first, after])
  await primary.server.start()
  await player.play('no-slot-old')
  const last = player.startRelay({ MASTER_DATABASE_URL: primary.relayUrl })
  await whenStreaming(last)
  await waitFor(async () => (await stage.delivered('order', 3)).includes(waiting), {
    what: 'the fact of the old server',
  })
  expect(await stopRelay(last)).toBe(0)
  await player.play('no-slot-old-done')
  // After its crash the old server sends again what it had not written to disk as confirmed.
  const all = await stage.delivered('order', 3)
  expect(new Set(all)).toEqual(new Set([first, after, waiting]))
  expect(await stopRelay(next)).toBe(0)
})

it('a lost slot: seen, made again, and what was before is named', async () => {
  const stage = createStage()
  const shop = await stage.serve({ version: 18, name: 'guide', settings: { max_slot_wal_keep_size: '2MB' } })
  await stage.topics({ topic: 'order' })
  const player = await stage.player(shop)
  await player.play('install-setup')
  const relay = player.startRelay()
  await whenStreaming(relay)
  const first = await shop.emit()
  await stage.delivered('order', 1)
  expect(await stopRelay(relay)).toBe(0)
  await shop.emit()
  await waitFor(
    async () => {
      await shop.query("SELECT pg_logical_emit_message(false, 'filler', 'x'), pg_switch_wal()")
      await shop.query('CHECKPOINT')
      const [slot] = await shop.query('SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1', [SLOT])
      return slot?.['wal_status'] === 'lost'
    },
    { what: 'the slot to be lost', timeoutMs: 60_000 },
  )
  await player.play('lost-look')
  await player.play('lost-memory')
  await player.play('lost-again')
  const [limit] = await shop.query('SHOW max_slot_wal_keep_size')
  expect(limit).toEqual({ max_slot_wal_keep_size: '50GB' })
  const again = player.startRelay()
  await whenStreaming(again)
  await player.play('lost-last')
  const second = await shop.emit()
  expect(await stage.delivered('order', 2)).toEqual([first, second])
  expect(await stopRelay(again)).toBe(0)
})
