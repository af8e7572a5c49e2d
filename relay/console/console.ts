import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { ConfigurationError } from '../../src/errors.ts'
import type { Entry } from '../entry.ts'
import { createRedactor } from '../ops/logger.ts'
import type { Relay, RelayHealth, RelayObserver, RelaySettings, Route } from '../types.ts'
import { createApp } from './app.ts'
import { readAssets } from './assets.ts'
import { DeadLetterWatch } from './dead-letter-watch.ts'
import { EventStream } from './event-stream.ts'
import { Examination } from './examination.ts'
import { PostgresWatch } from './postgres-watch.ts'
import { Recorder } from './recorder.ts'
import type { ConsoleSections, RelaySection, Sample, SectionName } from './state.ts'

// The relay's own page, on a port and an address of its own:
//
//   Recorder (what passes) ──┐
//   PostgresWatch (slot)  ───┼─▶ sections, once a second ─▶ EventStream ─▶ page/ (in the browser)
//   DeadLetterWatch       ───┤
//   Examination (doctor)  ───┘        app.ts answers everything else, guards.ts says who may ask
//
// run.ts loads this folder only when the console is on. No text leaves it without passing the redactor.

export interface ConsoleSettings {
  readonly host: string
  /** 0: a free one. */
  readonly port: number
  readonly allowedHosts: readonly string[]
  /** Undefined: nothing can be requeued. */
  readonly token: string | undefined
  /** Payloads of the last facts are kept, and sent when asked for. */
  readonly payloads: boolean
}

export interface ConsoleOptions extends ConsoleSettings {
  readonly settings: RelaySettings
  readonly routes: readonly Route[]
  readonly secrets: readonly string[]
  readonly version: string
  readonly names: { readonly host: string; readonly port: string }
}

export interface RelayConsole {
  /** That is really listened on. */
  readonly port: number
  observe(observer: RelayObserver): RelayObserver
  /** Facts that have become durable. */
  durable(entries: readonly Entry[]): void
  /** From when there is a relay to show. */
  start(relay: ShownRelay): void
  /** Tells the pages why, and closes; takes no longer than a second. Safe to call twice. */
  close(outcome?: { readonly exitCode: number; readonly reason: string | null }): Promise<void>
}

/** What is shown of the relay. */
type ShownRelay = Pick<Relay, 'phase' | 'readiness' | 'stats'>

const TICK_MS = 1_000
/** A quarter of an hour for the charts. */
const SAMPLES_KEPT = 900

/**
 * Listens, and shows what it is told.
 *
 * @example
 * const shown = await startConsole({ ...configuration.console, settings, routes, secrets, version, names })
 * const relay = createRelayFromSettings(settings, { observer: shown.observe(observer), onDurable: shown.durable })
 * shown.start(relay)
 * @throws ConfigurationError when the port cannot be listened on, by the name of its setting.
 */
export async function startConsole(options: ConsoleOptions): Promise<RelayConsole> {
  const { settings, routes, payloads, token, allowedHosts } = options
  const redact = createRedactor(options.secrets).text
  const recorder = new Recorder({ routes, payloads })
  const postgres = new PostgresWatch(settings, () => relay?.phase ?? 'idle')
  const deadLetters = new DeadLetterWatch(settings)
  const examination = new Examination(settings, routes)
  const samples: Sample[] = []
  const events = new EventStream(() => {
    sendSections()
    return [['history', samples]]
  })
  const startedAtMs = Date.now()
  let relay: ShownRelay | undefined
  let before = { received: 0, delivered: 0, atMs: performance.now() }

  const app = createApp({
    assets: readAssets(),
    allowedHosts: [...allowedHosts, options.host],
    token,
    hasPayloads: payloads,
    events,
    payload: (id) => {
      const payload = recorder.payload(id)
      return payload === undefined ? undefined : redact(payload)
    },
    requeue: async (id) => {
      const note = await deadLetters.requeue(id).catch((error: unknown) => {
        throw new Error(redact(error instanceof Error ? error.message : String(error)))
      })
      return redact(note)
    },
    doctor: {
      waitSeconds: () => examination.waitSeconds(),
      run: () => {
        void examination.run().then(() => send('doctor', examination.section()))
        send('doctor', examination.section())
      },
    },
  })
  const server = createServer(LIMITS, getRequestListener(app.fetch, { overrideGlobalObjects: false }))
  server.maxConnections = 128
  await new Promise<void>((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => reject(listenError(error, options))
    server.once('error', failed)
    server.listen({ host: options.host, port: options.port }, () => {
      server.off('error', failed)
      // An accept that fails must not end the relay.
      server.on('error', () => {})
      resolve()
    })
  })

  function send<N extends SectionName>(name: N, section: ConsoleSections[N]): void {
    events.send(name, redacted(section, redact))
  }

  function sendSections(): void {
    const health = relay?.readiness() ?? STARTING
    const stats = relay?.stats()
    const age = stats?.behindSeconds === undefined ? postgres.lagSeconds() : undefined
    send('relay', {
      version: options.version,
      slot: settings.slot,
      prefixes: settings.prefixes,
      startedAtMs,
      phase: relay?.phase ?? 'idle',
      notOk: health.ok ? null : health.reason,
      behindSeconds: stats?.behindSeconds ?? age?.seconds ?? null,
      behindIsAtLeast: age?.isAtLeast ?? false,
      pendingFacts: stats?.pendingFacts ?? 0,
      pendingBytes: stats?.pendingBytes ?? 0,
      heartbeatSeconds: stats?.heartbeatSeconds ?? null,
      receivedCount: recorder.receivedCount,
      deliveredCount: recorder.deliveredCount,
      faults: recorder.faults(),
      mayRequeue: token !== undefined,
      hasPayloads: payloads,
    } satisfies RelaySection)
    const slot = postgres.slot()
    if (slot) send('slot', slot)
    send('topics', recorder.topics())
    send('deadLetters', deadLetters.section())
    send('facts', recorder.facts())
    send('doctor', examination.section())
  }

  function tick(): void {
    const now = {
      received: recorder.receivedCount,
      delivered: recorder.deliveredCount,
      atMs: performance.now(),
    }
    const seconds = (now.atMs - before.atMs) / 1_000
    recorder.tick(seconds)
    const slot = postgres.slot()
    const sample: Sample = {
      atMs: Date.now(),
      received: (now.received - before.received) / seconds,
      delivered: (now.delivered - before.delivered) / seconds,
      lagBytes: slot && slot.failure === null && slot.exists ? slot.lagBytes : null,
    }
    before = now
    samples.push(sample)
    if (samples.length > SAMPLES_KEPT) samples.shift()
    if (events.clientCount === 0) return
    deadLetters.refreshIfDue(recorder.deadLetterCount)
    events.pass('sample', sample)
    sendSections()
  }

  const timer = setInterval(tick, TICK_MS).unref()
  let closing: Promise<void> | undefined
  async function close(outcome?: { readonly exitCode: number; readonly reason: string | null }): Promise<void> {
    clearInterval(timer)
    if (outcome) {
      sendSections()
      send('ended', outcome)
    }
    const watching = postgres.stop()
    await events.end()
    server.close()
    server.closeAllConnections()
    await watching
  }
  return {
    port: (server.address() as AddressInfo).port,
    observe: (observer) => recorder.observe(observer),
    durable: (entries) => recorder.durable(entries),
    start(shown) {
      relay = shown
      postgres.start()
    },
    close(outcome) {
      closing ??= close(outcome)
      return closing
    },
  }
}

const STARTING: RelayHealth = { ok: false, reason: 'starting' }

/** Whoever sends slowly, or nothing, is cut off. A stream of events is an answer: no limit here ends it. */
const LIMITS = {
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 8_192,
}

/** The same value with every text redacted. */
function redacted(value: unknown, redact: (text: string) => string): unknown {
  if (typeof value === 'string') return redact(value)
  if (Array.isArray(value)) return value.map((item) => redacted(item, redact))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, redacted(item, redact)]))
}

function listenError(error: NodeJS.ErrnoException, { host, port, names }: ConsoleOptions): Error {
  const problem =
    error.code === 'EADDRINUSE'
      ? `${names.port}: port ${port} is in use: stop what listens on it, or give another port`
      : error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND'
        ? `${names.host}: ${JSON.stringify(host)} is no address of this machine`
        : `${names.port}: port ${port} cannot be listened on (${error.code ?? error.message})`
  return new ConfigurationError([problem], { cause: error })
}
