import { Delivery } from './delivery.ts'
import { openKafkaSink } from './kafka/open-sink.ts'
import { parseLsn } from './lsn.ts'
import { silentLogger, silentObserver } from './observer.ts'
import { backoffMs } from './policy.ts'
import { interpretMessage, interpretOrDeadLetter, interpretOrForeign } from './record.ts'
import type { Sink } from './sink/sink.ts'
import { SlotReader } from './slot-reader.ts'
import { createWalSource } from './source/wal/wal-source.ts'
import type { Relay, RelayHealth, RelayLogger, RelayObserver, RelayOutcome, RelaySettings, Route } from './types.ts'

// The relay, put together; the only file that knows source, router and sink:
//
//   createWalSource ─▶ SlotReader (ledger, window, lifecycle) ─▶ Delivery (routes, lanes) ─▶ Sink (Kafka)
//                          ▲                                        │
//                          └──────────────── done ──────────────────┘

/** Facts that have not got through for this long make the relay unhealthy. */
const TROUBLE_MS = 10_000
/** How often Kafka is asked whether it is there, milliseconds. */
const SINK_CHECK_MS = 5_000

export interface RelayParts {
  readonly routes?: readonly Route[]
  readonly logger?: RelayLogger
  readonly observer?: RelayObserver
  /** Instead of Kafka, from the settings. The relay closes it. */
  readonly sink?: Sink
}

/** The relay from complete settings; see `createRelay` in index.ts for the public form. */
export function createRelayFromSettings(settings: RelaySettings, parts: RelayParts = {}): Relay {
  const logger = parts.logger ?? silentLogger
  const observer = parts.observer ?? silentObserver
  const routes = parts.routes ?? []
  const clock = { nowMs: () => performance.now() }
  const kafka = parts.sink ? undefined : openKafkaSink({ target: settings.kafka, logger })
  const sink = parts.sink ?? (kafka as Sink)
  const everyPrefix = settings.prefixes.includes('*')
  const prefixes = new Set(settings.prefixes)

  const delivery: Delivery = new Delivery({
    sink,
    settings,
    routes,
    logger,
    observer,
    clock,
    hold: {
      get mayProduce() {
        return reader.mayProduce
      },
      whenMayProduce: () => reader.whenMayProduce(),
    },
    events: {
      onDone: (entries) => reader.done(entries),
      onDropped: (entries) => reader.dropped(entries),
      onReplaced: (entry, by) => reader.replaced(entry, by),
    },
  })
  const reader = new SlotReader({
    source: createWalSource({ ...settings, logger }),
    slot: settings.slot,
    windowFacts: settings.windowFacts,
    windowBytes: settings.windowBytes,
    drainTimeoutMs: settings.drainTimeoutMs,
    logger,
    observer,
    accepts: everyPrefix ? () => true : (prefix) => prefixes.has(prefix),
    interpret: interpreter(settings),
    destination: delivery,
  })
  const sinkWatch = watchSink(sink, logger)

  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= Promise.resolve(sinkWatch.stop()).then(() => delivery.close())
    return closing
  }
  const stopped: Promise<RelayOutcome> = reader.whenStopped().then(async (outcome) => {
    await close()
    return outcome
  })

  return {
    get phase() {
      return reader.phase
    },
    async start() {
      await kafka?.open()
      sinkWatch.start()
      return reader.start()
    },
    async stop() {
      await reader.stop()
      await stopped
    },
    whenStopped: () => stopped,
    whenFlushed: (lsn) => reader.whenFlushed(parseLsn(lsn)),
    health(): RelayHealth {
      if (reader.trouble !== undefined) return { ok: false, reason: reader.trouble }
      const trouble = delivery.oldestTrouble()
      if (trouble && clock.nowMs() - trouble.sinceMs > TROUBLE_MS) return { ok: false, reason: trouble.reason }
      const sinkTrouble = sinkWatch.trouble()
      return sinkTrouble === undefined ? { ok: true } : { ok: false, reason: sinkTrouble }
    },
    async [Symbol.asyncDispose]() {
      await this.stop()
    },
  }
}

/** What to make of a message that cannot be read: foreign under `*`, else a dead letter, else a halt. */
function interpreter({ prefixes, deadLetter }: RelaySettings) {
  if (prefixes.includes('*')) return interpretOrForeign
  return deadLetter?.causes.includes('malformed') ? interpretOrDeadLetter : interpretMessage
}

/** Connects, goes on trying, and looks now and then: an idle relay whose Kafka is away must not say that it is well. */
function watchSink(sink: Sink, logger: RelayLogger) {
  let timer: NodeJS.Timeout | undefined
  let stopped = false
  let attempt = 0
  let problem: string | undefined = 'not connected to Kafka yet'

  async function look(): Promise<void> {
    try {
      await sink.check()
      if (problem !== undefined) logger.info({ sink: sink.name }, 'connected to Kafka')
      problem = undefined
      attempt = 0
    } catch (error) {
      if (stopped) return
      attempt++
      const message = (error as Error).message
      if (problem === undefined || attempt === 1) logger.warn({ sink: sink.name }, message)
      problem = message
    }
    if (!stopped)
      timer = setTimeout(look, attempt === 0 ? SINK_CHECK_MS : backoffMs(attempt, 200, SINK_CHECK_MS)).unref()
  }

  return {
    start: () => void look(),
    stop: () => {
      stopped = true
      clearTimeout(timer)
    },
    trouble: () => problem,
  }
}
