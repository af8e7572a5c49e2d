import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { openPage } from './browser.ts'

/** `FACTLIB_SCREENSHOTS=1`: the pictures of docs/ are taken anew, and the tests last longer for it. */
export const wantsScreenshots = process.env['FACTLIB_SCREENSHOTS'] === '1'

const docs = fileURLToPath(new URL('../../../docs/', import.meta.url))
export const LOOKS = {
  light: { colorScheme: 'light', viewport: { width: 1280, height: 900 } },
  dark: { colorScheme: 'dark', viewport: { width: 1280, height: 900 } },
  narrow: { colorScheme: 'light', viewport: { width: 400, height: 900 } },
} as const
export type Look = keyof typeof LOOKS

/** docs/console-<state>-<look>.png, of pages that were open for so long that their charts have something to show. */
export async function takeScreenshots(
  browser: Browser,
  url: string,
  state: string,
  options: {
    readonly looks?: readonly Look[]
    readonly settleMs?: number
    readonly whenReady?: (page: Page) => Promise<void>
  } = {},
): Promise<void> {
  const looks = options.looks ?? (Object.keys(LOOKS) as Look[])
  const pages = await Promise.all(looks.map((look) => openPage(browser, url, LOOKS[look])))
  const [first] = pages
  if (options.settleMs !== undefined) await first?.page.waitForTimeout(options.settleMs)
  for (const [index, { page, close }] of pages.entries()) {
    await options.whenReady?.(page)
    await shoot(page, state, looks[index] as Look)
    await close()
  }
}

export async function shoot(page: Page, state: string, look: Look): Promise<void> {
  // Small files: what comes below is the same in every state.
  const height = look === 'narrow' ? 1_800 : state === 'normal' && look === 'light' ? 1_500 : 1_060
  const full = await page.evaluate(() => document.documentElement.scrollHeight)
  const { width } = LOOKS[look].viewport
  await page.screenshot({
    path: `${docs}console-${state}-${look}.png`,
    clip: { x: 0, y: 0, width, height: Math.min(full, height) },
    fullPage: true,
  })
}
