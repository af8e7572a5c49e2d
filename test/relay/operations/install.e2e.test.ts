import { expect, it, vi } from 'vitest'
import { PROVIDERS } from '../../../relay/setup/providers.ts'
import { createTopics } from '../../support/kafka.ts'
import { createPlayer } from './player.ts'
import { createStage, portsOf, stopRelay, whenStreaming } from './stage.ts'

// docs/operations.md, "Install", and the look after a restart of PostgreSQL: its commands, on real servers.

vi.setConfig({ testTimeout: 180_000 })

it('prints what each provider wants', async () => {
  const player = await createPlayer({ env: {} })
  for (const provider of PROVIDERS) await player.play(`install-dry-${provider}`)
})

it('from setup to a relay that is ready, and a minor upgrade under it', async () => {
  const stage = createStage()
  const shop = await stage.serve({ version: 18, name: 'guide', settings: { max_slot_wal_keep_size: '10GB' } })
  await stage.topics({ topic: 'order' })
  await createTopics(stage.brokers, [
    { topic: `${stage.prefix}_dead`, config: { 'retention.ms': '-1', 'cleanup.policy': 'delete' } },
  ])
  const player = await stage.player(shop)
  await player.play('install-setup')
  await player.play('install-again')
  await player.play('install-doctor')
  const relay = player.startRelay()
  await whenStreaming(relay)
  const { healthPort } = await portsOf(relay)
  const first = await shop.emit()
  expect(await stage.delivered('order', 1)).toEqual([first])
  await player.play('install-works', { env: {}, names: { 'localhost:3001': `127.0.0.1:${healthPort}` } })

  await shop.server.stop('fast')
  await shop.server.start()
  const second = await shop.emit()
  expect(new Set(await stage.delivered('order', 2))).toEqual(new Set([first, second]))
  await player.play('minor-status')
  expect(await stopRelay(relay)).toBe(0)
  await player.play('install-nothing-waits')
})
