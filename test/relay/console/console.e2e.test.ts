import type { Browser } from 'playwright-core'
import { beforeAll, expect, it } from 'vitest'
import { registerCleanup } from '../../support/cleanup.ts'
import { createTopics, readTopics } from '../../support/kafka.ts'
import { startProxy, type TestProxy } from '../../support/proxy.ts'
import { type KafkaCluster, startKafka } from '../../support/services/kafka.ts'
import { type PostgresServer, startPostgres } from '../../support/services/postgres.ts'
import { waitFor } from '../../support/wait.ts'
import { launchBrowser, openPage, type WatchedPage } from './browser.ts'
import { buildPage, keepCommitting, openShop, SHOP_TOPICS, startRelay, TOKEN } from './console-bench.ts'
import { delivered, expectSound, number, rows, shows, text } from './reading.ts'
import { LOOKS, shoot, takeScreenshots, wantsScreenshots } from './screenshots.ts'

// The console in a real browser, of a real relay, on servers of its own: what the page shows is compared with what was
// emitted, with PostgreSQL and with Kafka, while all is well and while it is not.

let postgres: PostgresServer
let kafka: KafkaCluster
let browser: Browser
const proxies: TestProxy[] = []

beforeAll(async () => {
  buildPage()
  ;[postgres, kafka, browser] = await Promise.all([
    startPostgres({ name: 'console', settings: { max_slot_wal_keep_size: '256MB' } }),
    startKafka({
      name: 'console',
      proxy: async (port) => {
        const proxy = await startProxy({ port })
        proxies.push(proxy)
        return proxy.port
      },
    }),
    launchBrowser(),
  ])
  registerCleanup(() => postgres.remove())
  registerCleanup(() => kafka.remove())
  await createTopics(kafka.bootstrap, [
    ...SHOP_TOPICS.map((topic) => ({ topic, partitions: 2 })),
    { topic: 'shop-dead-letters' },
  ])
}, 180_000)

it('shows what was emitted: counts, topics, the last facts, the slot and who holds it', {
  timeout: 120_000,
}, async () => {
  const shop = await openShop(postgres.url, kafka.bootstrap)
  const relay = await startRelay(shop, { DEAD_LETTER_TOPIC: 'shop-dead-letters' })
  const watched = await openPage(browser, relay.url)
  const { page } = watched
  await shows(page.locator('#headline'), /^Facts get through$/)
  expect(await text(page, 'slot-name')).toBe('factlib_slot')
  expect(await text(page, 'prefixes')).toBe('shop')
  expect(await text(page, 'topics-empty')).toMatch(/No fact has passed/)

  await shop.commitMany(1_000)
  await delivered(page, 1_000)
  await shop.commit({
    aggregateType: 'customer',
    aggregateId: 'customer-last',
    eventType: 'customer.left',
    payload: { secret: 'never shown' },
  })
  await delivered(page, 1_001)
  const records = await readTopics(kafka.bootstrap, SHOP_TOPICS, { untilCount: 1_001 })
  const topics = await rows(page, 'topics')
  expect(topics.map(({ Topic, Facts }) => [Topic, number(Facts ?? '')])).toEqual(
    [...SHOP_TOPICS].sort().map((topic) => [topic, records.filter((record) => record.topic === topic).length]),
  )
  expect(topics[0]).toMatchObject({ Topic: 'shop.customer', 'Last event': 'customer.left', Key: 'customer-last' })

  const facts = await rows(page, 'facts')
  expect(facts).toHaveLength(50)
  expect(facts[0]).toMatchObject({ Event: 'customer.left', Key: 'customer-last', Topic: 'shop.customer' })
  const wanted = records.find(({ key }) => key?.toString() === 'customer-last')
  expect(number(facts[0]?.['Size'] ?? '')).toBe(wanted?.value?.length)
  // Payloads are off: there is no button, nothing was sent, and asking gets nothing.
  expect(await page.locator('#facts button').count()).toBe(0)
  expect(await watched.bodies()).not.toContain('never shown')
  const id = wanted?.headers.find(([name]) => name === 'event_id')?.[1].toString()
  expect((await fetch(`${relay.url}facts/${id}/payload`)).status).toBe(403)
  await shows(page.locator('#dead-empty'), /^None\./)

  const [holder] = await rows(page, 'peers')
  expect(holder).toMatchObject({ Role: 'holds the slot', Name: 'factlib-relay', From: '127.0.0.1' })
  expect(await page.locator('#peers td[title]').first().getAttribute('title')).toBe(
    `backend ${await shop.slot.activePid()}`,
  )
  expect(await text(page, 'wal-status')).toBe('reserved')
  expect(await text(page, 'budget-line')).toMatch(/of 256 MiB kept for the slot$/)
  await shows(page.locator('#tile-lag'), /^0\.0 s$/)
  await expectSound(watched, new URL(postgres.url).password)

  if (wantsScreenshots) {
    const stop = keepCommitting(shop, (second) => 180 + 60 * Math.sin(second / 7) + (second % 17) * 5)
    await takeScreenshots(browser, relay.url, 'normal', { settleMs: 75_000 })
    await stop()
  }
  relay.signal('SIGTERM')
  expect(await relay.whenExited(5_000)).toEqual({ code: 0, signal: null })
  await shows(page.locator('#headline'), /^The relay was stopped$/)
})

it('shows a backlog while it is worked off, and the end of it', { timeout: 180_000 }, async () => {
  const shop = await openShop(postgres.url, kafka.listeners.proxied)
  const first = await startRelay(shop)
  await first.whenLine('created the replication slot')
  first.signal('SIGTERM')
  await first.whenExited()
  for (let part = 0; part < (wantsScreenshots ? 60 : 20); part++) await shop.commitMany(200)
  // The oldest of them is as old as a backlog is.
  const oldMs = wantsScreenshots ? 40_000 : 11_000
  const sinceMs = performance.now()
  const stop = keepCommitting(shop, () => 60)
  await waitFor(() => performance.now() - sinceMs > oldMs, { what: 'the backlog to be old', timeoutMs: oldMs + 5_000 })
  // A Kafka that is far away: each answer takes its time.
  for (const proxy of proxies) proxy.delayMs = 400
  registerCleanup(() => {
    for (const proxy of proxies) proxy.delayMs = 0
  })
  const relay = await startRelay(shop, {
    SEND_RECORDS: wantsScreenshots ? '150' : '20',
    WINDOW_FACTS: '2000',
    DEAD_LETTER_TOPIC: 'shop-dead-letters',
  })
  const watched = await openPage(browser, relay.url)
  const { page } = watched
  await shows(page.locator('#headline'), /^Working off a backlog$/, 30_000)
  expect(number(await shows(page.locator('#tile-lag'), /^\d+(\.\d)? s$/))).toBeGreaterThanOrEqual(10)
  expect(number(await shows(page.locator('#tile-lag-note'), /facts in flight$/))).toBeGreaterThan(500)
  if (wantsScreenshots) await takeScreenshots(browser, relay.url, 'backlog', { settleMs: 25_000 })
  await stop()
  for (const proxy of proxies) proxy.delayMs = 0
  await delivered(page, shop.committed)
  await shows(page.locator('#headline'), /^Facts get through$/)
  await shows(page.locator('#tile-lag'), /^0\.0 s$/)
  // Nobody else is there: the relay does not take itself for one that stands by.
  expect((await rows(page, 'peers')).map(({ Role }) => Role)).toEqual(['holds the slot'])
  await expectSound(watched, new URL(postgres.url).password)
  relay.signal('SIGTERM')
  expect((await relay.whenExited()).code).toBe(0)
})

it('says that Kafka is away and how much WAL waits, and that it is back', { timeout: 180_000 }, async () => {
  const shop = await openShop(postgres.url, kafka.bootstrap)
  const relay = await startRelay(shop, { DEAD_LETTER_TOPIC: 'shop-dead-letters' })
  const watched = await openPage(browser, relay.url)
  const { page } = watched
  await shows(page.locator('#headline'), /^Facts get through$/)
  await shop.commitMany(200)
  await delivered(page, 200)
  const stop = keepCommitting(shop, () => (wantsScreenshots ? 150 : 40))
  if (wantsScreenshots) await page.waitForTimeout(30_000)
  await kafka.brokers[0]?.kill()
  await shows(page.locator('#headline'), /^Facts do not get through$/, 20_000)
  expect(await page.locator('#banner').getAttribute('data-state')).toBe('bad')
  expect(await text(page, 'explanation')).toMatch(/kafka|broker|connect/i)
  await shows(page.locator('#faults'), /Kafka/)
  await shows(page.locator('#tile-lag'), /^(1\d|[2-9]\d)(\.\d)? s$/, 40_000)
  expect(number(await text(page, 'tile-rate'))).toBe(0)
  if (wantsScreenshots) await takeScreenshots(browser, relay.url, 'kafka-down', { settleMs: 25_000 })
  // What the chart says in words is what PostgreSQL says.
  await stop()
  await waitFor(
    async () => {
      const [row] = await shop.database.query<{ lag: string }>(
        'SELECT pg_size_pretty(0::bigint), pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::text AS lag FROM pg_replication_slots WHERE slot_name = $1',
        [shop.slot.name],
      )
      const { formatBytes } = await import('../../../relay/console/page/format.ts')
      const label = await page.locator('#lag').getAttribute('aria-label')
      return label?.includes(`now ${formatBytes(Number(row?.lag))} of WAL not confirmed`)
    },
    { what: 'the lag of PostgreSQL on the page' },
  )
  await kafka.brokers[0]?.start()
  await delivered(page, shop.committed)
  await shows(page.locator('#headline'), /^Facts get through$/, 30_000)
  await expectSound(watched, new URL(postgres.url).password)
  relay.signal('SIGTERM')
  expect((await relay.whenExited()).code).toBe(0)
})

it('lists a dead letter with its reason, and requeues it with the token only', { timeout: 120_000 }, async () => {
  const shop = await openShop(postgres.url, kafka.bootstrap)
  await createTopics(kafka.bootstrap, [
    { topic: 'shop.parcel', config: { 'max.message.bytes': '2000' } },
    { topic: 'shop-parcels-dead' },
  ])
  const relay = await startRelay(shop, {
    DEAD_LETTER_TOPIC: 'shop-parcels-dead',
    CONSOLE_TOKEN: TOKEN,
    CONSOLE_PAYLOADS: 'true',
  })
  const watched = await openPage(browser, relay.url)
  const { page } = watched
  await shows(page.locator('#dead-empty'), /^None\./)
  await shop.commit(
    {
      aggregateType: 'parcel',
      aggregateId: 'parcel-1',
      eventType: 'parcel.packed',
      payload: { items: 'x'.repeat(5_000) },
    },
    { aggregateType: 'parcel', aggregateId: 'parcel-2', eventType: 'parcel.packed', payload: { items: 'few' } },
  )
  await shows(page.locator('#dead tbody'), /too large/)
  const [letter] = await readTopics(kafka.bootstrap, ['shop-parcels-dead'], { untilCount: 1 })
  const id = letter?.headers.find(([name]) => name === 'dead_letter_id')?.[1].toString()
  expect(await rows(page, 'dead')).toMatchObject([{ Topic: 'shop.parcel', Key: 'parcel-1' }])
  expect(await text(page, 'tile-dead')).toBe('1')
  expect(await page.locator('#dead td[title]').first().getAttribute('title')).toBe(id)

  const button = page.getByRole('button', { name: `Requeue ${id}` })
  const message = page.locator('#dead-message')
  await button.click()
  await shows(message, /^Type the console token first/)
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('token')
  await page.getByLabel('Console token').fill('a wrong one')
  await button.click()
  await button.click()
  await shows(message, /^Not requeued: The token is missing or wrong/)
  await page.getByLabel('Console token').fill(TOKEN)
  // The topic still refuses it: it stays a dead letter.
  await button.click()
  await button.click()
  await shows(message, /^Not requeued: 0 of 1 requeued/)
  await kafka.tool('kafka.admin.ConfigCommand', [
    ...['--bootstrap-server', kafka.bootstrap.join(','), '--alter', '--entity-type', 'topics'],
    ...['--entity-name', 'shop.parcel', '--add-config', 'max.message.bytes=100000'],
  ])
  await button.click()
  await button.click()
  await shows(message, /^Requeued /, 30_000)
  await shows(page.locator('#dead-empty'), /^None\./)
  const parcels = await readTopics(kafka.bootstrap, ['shop.parcel'], { untilCount: 2 })
  expect(parcels.map(({ key }) => key?.toString()).sort()).toEqual(['parcel-1', 'parcel-2'])
  expect(parcels.find(({ key }) => key?.toString() === 'parcel-1')?.value).toEqual(letter?.value)

  // The payload of a fact: on demand, with the token; before that it was nowhere.
  expect(await watched.bodies()).not.toContain('few')
  await page.getByRole('button', { name: 'Payload of parcel.packed parcel-2' }).click()
  expect(JSON.parse(await shows(page.locator('#facts pre'), /few/))).toEqual({ items: 'few' })
  await expectSound(watched, new URL(postgres.url).password)
  relay.signal('SIGTERM')
  expect((await relay.whenExited()).code).toBe(0)
})

it('names the relay that holds the slot and the one that stands by, and runs the doctor', {
  timeout: 120_000,
}, async () => {
  const shop = await openShop(postgres.url, kafka.bootstrap)
  const active = await startRelay(shop)
  await active.whenLine('streaming')
  const standby = await startRelay(shop)
  const watched = await openPage(browser, standby.url)
  const { page } = watched
  await shows(page.locator('#headline'), /^Standing by$/)
  await shows(page.locator('#peers tbody'), /stands by/)
  expect((await rows(page, 'peers')).map(({ Role, Name }) => [Role, Name])).toEqual([
    ['holds the slot', 'factlib-relay'],
    ['stands by', 'factlib-relay (this one)'],
  ])
  const other = await openPage(browser, active.url)
  await shows(other.page.locator('#peers tbody'), /stands by/)

  await page.getByRole('button', { name: 'Run the doctor' }).click()
  const found = await shows(page.locator('#doctor-ok-summary'), /^[1-9]\d* in order$/, 30_000)
  expect(number(found)).toBeGreaterThan(8)
  await shows(page.locator('#doctor-note'), /(Nothing to mend|to look at), /)
  await page.getByRole('button', { name: 'Run the doctor' }).click()
  await shows(page.locator('#doctor-message'), /^The doctor was here just now/)

  active.signal('SIGTERM')
  await active.whenExited()
  await shows(page.locator('#headline'), /^Facts get through$/)
  expect((await rows(page, 'peers')).length).toBeGreaterThan(0)
  await shows(page.locator('#peers tbody'), /^(?!.*stands by)[\s\S]*holds the slot/)
  await expectSound(watched, new URL(postgres.url).password)
  expect(other.faults).toEqual([])
  standby.signal('SIGTERM')
  expect((await standby.whenExited()).code).toBe(0)
})

it('is readable at 400 px, in the dark and by keyboard alone', { timeout: 120_000 }, async () => {
  const shop = await openShop(postgres.url, kafka.bootstrap)
  const relay = await startRelay(shop)
  await relay.whenLine('streaming')
  await shop.commit({
    aggregateType: 'customer',
    aggregateId: `a-long-key-${'0123456789'.repeat(15)}`,
    eventType: `customer.${'very_'.repeat(30)}long`,
  })
  const watched = await openPage(browser, relay.url, { colorScheme: 'dark', viewport: { width: 400, height: 800 } })
  const { page } = watched
  await delivered(page, 1)
  await shows(page.locator('#facts tbody'), /a-long-key/)
  await expectSound(watched, new URL(postgres.url).password)
  const theme = () => page.evaluate(() => document.documentElement.dataset['theme'])
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
  expect([await theme(), await background()]).toEqual(['dark', 'rgb(13, 17, 23)'])
  await page.setViewportSize({ width: 1_280, height: 800 })
  await expectSound(watched, new URL(postgres.url).password)

  const focused = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.className)
  const order: (string | undefined)[] = []
  for (let step = 0; step < 4; step++) {
    await page.keyboard.press('Tab')
    order.push(await focused())
  }
  expect(order).toEqual(['skip', 'theme', 'doctor-run', 'pause'])
  expect(await page.evaluate(() => getComputedStyle(document.activeElement as Element).outlineStyle)).toBe('solid')
  // Data moves on, and focus stays where it is.
  await shop.commit({ aggregateType: 'customer', aggregateId: 'next' })
  await delivered(page, 2)
  expect(await focused()).toBe('pause')
  await page.keyboard.press('Space')
  expect(await page.getByRole('button', { name: 'Go on' }).getAttribute('aria-pressed')).toBe('true')
  await shop.commit({ aggregateType: 'customer', aggregateId: 'while paused' })
  await delivered(page, 3)
  expect(await page.locator('#facts tbody').innerText()).not.toContain('while paused')
  await page.keyboard.press('Enter')
  await shows(page.locator('#facts tbody'), /while paused/)
  await page.getByRole('button', { name: 'Use the light theme' }).press('Enter')
  expect([await theme(), await background()]).toEqual(['light', 'rgb(245, 246, 248)'])
  await page.reload()
  await waitFor(async () => (await theme()) === 'light', { what: 'the theme that was chosen' })

  // What a screen reader is told.
  for (const name of ['Throughput', 'Slot budget', 'Topics', 'Dead letters', 'Last facts', 'Doctor'])
    expect(await page.getByRole('region', { name, exact: true }).count(), name).toBe(1)
  await waitFor(async () => /now \d/.test((await page.locator('#throughput').getAttribute('aria-label')) ?? ''), {
    what: 'the chart in words',
  })
  expect(await page.getByRole('meter', { name: 'Slot budget' }).getAttribute('aria-valuetext')).toMatch(
    /kept for the slot/,
  )
  expect(await page.getByRole('status').count()).toBeGreaterThan(0)
  relay.signal('SIGTERM')
  expect((await relay.whenExited()).code).toBe(0)
})

it('says that the slot is lost, and keeps saying it when the relay has halted', { timeout: 180_000 }, async () => {
  const shop = await openShop(postgres.url, kafka.listeners.proxied)
  const relay = await startRelay(shop, { DEAD_LETTER_TOPIC: 'shop-dead-letters' })
  await relay.whenLine('streaming')
  await shop.commitMany(300)
  const looks = wantsScreenshots ? (['light', 'dark', 'narrow'] as const) : (['light'] as const)
  const pages = await Promise.all(looks.map((look) => openPage(browser, relay.url, LOOKS[look])))
  const [watched] = pages as [WatchedPage, ...WatchedPage[]]
  const { page } = watched
  await delivered(page, 300)
  if (wantsScreenshots) {
    const stop = keepCommitting(shop, () => 120)
    await page.waitForTimeout(40_000)
    await stop()
  }
  for (const proxy of proxies) proxy.blackhole(true)
  try {
    await waitFor(
      async () => {
        // 16 MB of WAL that is not confirmed, each time, until there is more of it than may be kept.
        await shop.database.query("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000)), pg_switch_wal()")
        await shop.commitMany(1)
        await shop.database.query('CHECKPOINT')
        const [slot] = await shop.database.query('SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1', [
          shop.slot.name,
        ])
        return slot?.['wal_status'] === 'lost'
      },
      { what: 'the slot to be lost', timeoutMs: 60_000, intervalMs: wantsScreenshots ? 1_000 : 100 },
    )
    await shows(page.locator('#headline'), /^The slot is lost$/, 40_000)
    expect((await relay.whenExited(30_000)).code).toBe(10)
    expect(await text(page, 'explanation')).toMatch(/factlib_slot.*\(exit code 10\)$/s)
    await shows(page.locator('#live-text'), /^Relay ended$/)
    await shows(page.locator('#tile-budget'), /^lost$/)
    await shows(page.locator('#headline'), /^The slot is lost$/)
    await expectSound(watched, new URL(postgres.url).password)
    if (wantsScreenshots)
      for (const [index, one] of pages.entries()) await shoot(one.page, 'slot-lost', looks[index] ?? 'light')
  } finally {
    for (const proxy of proxies) proxy.blackhole(false)
  }
})
