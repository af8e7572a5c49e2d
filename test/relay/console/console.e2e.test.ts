import type { Browser, Locator, Page } from 'playwright-core'
import { beforeAll, expect, it } from 'vitest'
import { registerCleanup } from '../../support/cleanup.ts'
import { createTopics, readTopics } from '../../support/kafka.ts'
import { startProxy, type TestProxy } from '../../support/proxy.ts'
import { type KafkaCluster, startKafka } from '../../support/services/kafka.ts'
import { type PostgresServer, startPostgres } from '../../support/services/postgres.ts'
import { waitFor } from '../../support/wait.ts'
import { launchBrowser, openPage, type WatchedPage } from './browser.ts'
import { buildPage, openShop, SHOP_TOPICS, type Shop, startRelay, TOKEN } from './console-bench.ts'
import { takeScreenshots, wantsScreenshots } from './screenshots.ts'

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
  await createTopics(
    kafka.bootstrap,
    SHOP_TOPICS.map((topic) => ({ topic, partitions: 2 })),
  )
}, 180_000)

const text = (page: Page, id: string) => page.locator(`#${id}`).innerText()

async function shows(locator: Locator, what: RegExp, timeoutMs = 20_000): Promise<string> {
  try {
    return await waitFor(
      async () => {
        const shown = await locator.innerText()
        return what.test(shown) && shown
      },
      { what: `${locator} to show ${what}`, timeoutMs },
    )
  } catch (error) {
    throw new Error(`${(error as Error).message}; it shows ${JSON.stringify(await locator.innerText())}`)
  }
}

const number = (shown: string) => Number(/[\d,]+/.exec(shown)?.[0].replaceAll(',', ''))

/** The page says that so many were delivered. */
function delivered(page: Page, count: number): Promise<string> {
  return shows(page.locator('#tile-rate-note'), new RegExp(`^${count.toLocaleString('en')} since`))
}

/** Rows of a table as records of what stands under its headings. */
async function rows(page: Page, table: string): Promise<Record<string, string>[]> {
  return page
    .locator(`#${table} tbody tr`)
    .evaluateAll((found) =>
      found.map((row) =>
        Object.fromEntries(
          [...(row as HTMLTableRowElement).cells].map((cell) => [cell.dataset['label'] ?? '', cell.innerText.trim()]),
        ),
      ),
    )
}

async function expectSound({ page, faults, bodies }: WatchedPage): Promise<void> {
  expect(faults).toEqual([])
  const { scroll, client } = await page.evaluate(() => ({
    scroll: document.documentElement.scrollWidth,
    client: document.documentElement.clientWidth,
  }))
  expect(scroll, 'wider than the window').toBeLessThanOrEqual(client)
  const password = new URL(postgres.url).password
  expect(password.length).toBeGreaterThan(7)
  const seen = await bodies()
  expect(seen).toContain('"receivedCount"')
  expect(seen).not.toContain(password)
  expect(seen).not.toContain(TOKEN)
}

/** Facts at this rate until it is stopped. */
function keepCommitting(shop: Shop, perSecond: (second: number) => number): () => Promise<void> {
  let second = 0
  let last: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    const count = Math.round(perSecond(second / 4) / 4)
    second++
    last = last.then(() => shop.commitMany(Math.max(1, count)))
  }, 250)
  return async () => {
    clearInterval(timer)
    await last
  }
}

it('shows what was emitted: counts, topics, the last facts, the slot and who holds it', {
  timeout: 120_000,
}, async () => {
  const shop = await openShop(postgres.url, kafka.bootstrap)
  const relay = await startRelay(shop)
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

  const [holder] = await rows(page, 'peers')
  expect(holder).toMatchObject({ Role: 'holds the slot', Name: 'factlib-relay', From: '127.0.0.1' })
  expect(await page.locator('#peers td[title]').first().getAttribute('title')).toBe(
    `backend ${await shop.slot.activePid()}`,
  )
  expect(await text(page, 'wal-status')).toBe('reserved')
  expect(await text(page, 'budget-line')).toMatch(/of 256 MiB kept for the slot$/)
  await shows(page.locator('#tile-lag'), /^0\.0 s$/)
  await expectSound(watched)

  if (wantsScreenshots) {
    const stop = keepCommitting(shop, (second) => 180 + 60 * Math.sin(second / 7) + (second % 17) * 5)
    await takeScreenshots(browser, relay.url, 'normal', { settleMs: 75_000 })
    await stop()
  }
  relay.signal('SIGTERM')
  expect(await relay.whenExited(5_000)).toEqual({ code: 0, signal: null })
  await shows(page.locator('#headline'), /^The relay was stopped$/)
})
