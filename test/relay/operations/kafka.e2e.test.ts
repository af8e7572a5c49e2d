import { randomBytes } from 'node:crypto'
import { expect, it, vi } from 'vitest'
import { withAdmin } from '../../support/chaos.ts'
import { createTopics, readTopic } from '../../support/kafka.ts'
import { startOwlPostStandIn } from '../../support/owlpost-stand-in.ts'
import { waitFor } from '../../support/wait.ts'
import { createStage, SLOT, stopRelay, whenStreaming } from './stage.ts'

// docs/operations.md: a dead letter, and the way from OwlPost and back. Its commands, on real servers.

vi.setConfig({ testTimeout: 180_000 })

it('a dead letter: listed, shown, sent where it belongs or given up; its key goes on after a restart', async () => {
  const stage = createStage()
  const { prefix, brokers } = stage
  const shop = await stage.serve({ version: 18, name: 'guide' })
  await createTopics(brokers, [{ topic: `${prefix}_dead` }])
  await stage.topics({ topic: 'order', config: { 'max.message.bytes': '1000' } })
  const env = { DEAD_LETTER_KEYS: 'block-key' }
  const player = await stage.player(shop, env)
  await player.play('install-setup')
  const relay = player.startRelay()
  await whenStreaming(relay)
  const large = await shop.emit({ payload: randomBytes(3_000) })
  const blocked = await shop.emit()
  const lone = await shop.emit({ aggregateId: 'o-18', payload: randomBytes(3_000) })
  await waitFor(async () => (await readTopic(brokers, `${prefix}_dead`)).length >= 3, { what: 'the dead letters' })
  const names = {
    '0190c2f4-7a11-7c3e-9a51-3f0c5d2b8e11': large,
    '0190c2f4-7a11-7c3e-9a51-3f0c5d2b8e12': blocked,
    '0190c2f4-7a11-7c3e-9a51-3f0c5d2b8e13': lone,
  }
  await player.play('dead-list', { env: {}, names })
  await player.play('dead-show', { env: {}, names })
  await withAdmin(brokers, (admin) =>
    admin.alterConfigs({
      validateOnly: false,
      resources: [
        { type: 2, name: `${prefix}.order`, configEntries: [{ name: 'max.message.bytes', value: '5000000' }] },
      ],
    }),
  )
  await player.play('dead-requeue', { env: {}, names })
  expect(await stage.delivered('order', 2)).toEqual([large, blocked])
  await player.play('dead-discard', { env: {}, names })
  expect(await stopRelay(relay)).toBe(0)
  const again = player.startRelay()
  await whenStreaming(again)
  const free = await shop.emit()
  expect(await stage.delivered('order', 3)).toEqual([large, blocked, free])
  expect(await stopRelay(again)).toBe(0)
})

it('from OwlPost by a copy of its slot, back to it, and once more to the relay', async () => {
  const stage = createStage()
  const { prefix, brokers } = stage
  const shop = await stage.serve({ version: 18, name: 'guide' })
  await stage.topics({ topic: 'order', partitions: 3 })
  await shop.query('CREATE PUBLICATION facts')
  await shop.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [SLOT])
  const startOwlPost = (slot: string) =>
    startOwlPostStandIn({ databaseUrl: shop.adminUrl, slot, publication: 'facts', prefix, brokers })
  const player = await stage.player(shop)

  const owlpost = await startOwlPost(SLOT)
  await owlpost.whenStreaming()
  const facts = [await shop.emit(), await shop.emit()]
  await stage.delivered('order', 2)
  await player.play('owlpost-copy')
  facts.push(await shop.emit())
  await stage.delivered('order', 3)
  await owlpost.stop()
  facts.push(await shop.emit())
  await player.play('owlpost-setup', { env: { ADMIN_DATABASE_URL: shop.adminUrl } })
  const ours = { REPLICATION_SLOT_NAME: 'factlib_relay' }
  const relay = player.startRelay(ours)
  await whenStreaming(relay)
  facts.push(await shop.emit())
  const all = async () => new Set(await stage.delivered('order', facts.length))
  await waitFor(async () => (await all()).size === facts.length, { what: 'every fact' })
  await player.play('owlpost-drop')
  expect(await stopRelay(relay)).toBe(0)

  const recordsBefore = (await stage.delivered('order', 0)).length
  const back = await startOwlPost('factlib_relay')
  await back.whenStreaming()
  facts.push(await shop.emit())
  await waitFor(async () => (await all()).size === facts.length, { what: 'every fact' })
  // Nothing came twice.
  expect((await stage.delivered('order', 0)).length).toBe(recordsBefore + 1)
  await back.stop()

  await player.play('owlpost-again')
  const again = player.startRelay(ours)
  await whenStreaming(again)
  facts.push(await shop.emit())
  await waitFor(async () => (await all()).size === facts.length, { what: 'every fact' })
  expect(await all()).toEqual(new Set(facts))
  expect(await stopRelay(again)).toBe(0)
})
