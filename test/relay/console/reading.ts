import type { Locator, Page } from 'playwright-core'
import { expect } from 'vitest'
import { waitFor } from '../../support/wait.ts'
import type { WatchedPage } from './browser.ts'
import { TOKEN } from './console-bench.ts'

// What a person would read on the page.

export const text = (page: Page, id: string) => page.locator(`#${id}`).innerText()

/** Waits until it does, and resolves to what it shows. */
export async function shows(locator: Locator, what: RegExp, timeoutMs = 20_000): Promise<string> {
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

/** The first number in a text. */
export const number = (shown: string) => Number(/[\d,]+/.exec(shown)?.[0].replaceAll(',', ''))

/** The page says that so many were delivered. */
export function delivered(page: Page, count: number): Promise<string> {
  return shows(page.locator('#tile-rate-note'), new RegExp(`^${count.toLocaleString('en')} since`))
}

/** Rows of a table as records of what stands under its headings. */
export async function rows(page: Page, table: string): Promise<Record<string, string>[]> {
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

/** Nothing was blocked or failed, nothing sticks out at the side, and no secret came over the wire. */
export async function expectSound({ page, faults, bodies }: WatchedPage, password: string): Promise<void> {
  expect(faults).toEqual([])
  const { scroll, client } = await page.evaluate(() => ({
    scroll: document.documentElement.scrollWidth,
    client: document.documentElement.clientWidth,
  }))
  expect(scroll, 'wider than the window').toBeLessThanOrEqual(client)
  expect(password.length).toBeGreaterThan(7)
  const seen = await bodies()
  expect(seen).toContain('"receivedCount"')
  expect(seen).not.toContain(password)
  expect(seen).not.toContain(TOKEN)
}
