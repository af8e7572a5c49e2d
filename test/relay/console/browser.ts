import { existsSync } from 'node:fs'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { registerCleanup } from '../../support/cleanup.ts'

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** A real Chromium, headless: of CHROMIUM_PATH, or the system's. */
export async function launchBrowser(): Promise<Browser> {
  const executablePath = process.env['CHROMIUM_PATH'] || PLACES.find((path) => existsSync(path))
  if (executablePath === undefined)
    throw new Error('no Chromium: set CHROMIUM_PATH, or install one (Debian: apt-get install -y chromium)')
  const browser = await chromium.launch({ executablePath, args: ['--disable-gpu', '--disable-dev-shm-usage'] })
  registerCleanup(() => browser.close())
  return browser
}

/** A page, and what went wrong on it. */
export interface WatchedPage {
  readonly page: Page
  /** Violations of the content security policy, errors of scripts, requests to elsewhere. */
  readonly faults: readonly string[]
  /** Bodies of all answers but the stream of events, and that stream as the page has read it. */
  bodies(): Promise<string>
  close(): Promise<void>
}

export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, timezoneId: 'UTC', ...options })
  const page = await context.newPage()
  const faults: string[] = []
  const bodies: Promise<string>[] = []
  const { origin } = new URL(url)
  // Before any script of the page: what the policy blocks, and what the stream brings.
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
      console.error(`policy: ${violatedDirective} ${blockedURI}`)
    })
    const heard: string[] = []
    Object.assign(globalThis, { heard })
    const listen = EventSource.prototype.addEventListener
    EventSource.prototype.addEventListener = function (this: EventSource, name: string, handler: EventListener) {
      listen.call(this, name, (event) => {
        heard.push(`${name} ${(event as MessageEvent).data}`)
        handler(event)
      })
    } as typeof listen
  })
  page.on('pageerror', (error) => faults.push(`script: ${error.message}`))
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource|ERR_/.test(message.text())) faults.push(message.text())
  })
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin) faults.push(`a request to ${request.url()}`)
  })
  page.on('response', (response) => {
    if (!response.url().endsWith('/events')) bodies.push(response.text().catch(() => ''))
  })
  await page.goto(url)
  return {
    page,
    faults,
    async bodies() {
      const heard = await page.evaluate(() => (globalThis as unknown as { heard: string[] }).heard.join('\n'))
      return [...(await Promise.all(bodies)), heard].join('\n')
    },
    close: () => context.close(),
  }
}
