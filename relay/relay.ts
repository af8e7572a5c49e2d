import { Delivery } from './delivery.ts'
import { ExactlyOnce, type ExactlyOnceOptions } from './exactly-once.ts'
import { createKafkajsTransactions } from './kafka/kafkajs-transactions.ts'
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
//
// With EXACTLY_ONCE, ExactlyOnce (one queue, Kafka transactions) stands in Delivery's place.

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
  const everyPrefix = settings.prefixes.includes('*')
  const prefixes = new Set(settings.prefixes)

  const hold = {
    get mayProduce(): boolean {
      return reader.mayProduce
    },
    whenMayProduce: () => reader.whenMayProduce(),
  }
  const events: ExactlyOnceOptions['events'] = {
    onDone: (entries) => reader.done(entries),
    onDropped: (entries) => reader.dropped(entries),
    onReplaced: (entry, by) => reader.replaced(entry, by),
    onFenced: (error) => reader.yieldSlot(error),
    onHalt: (error) => reader.halt(error),
  }
  const { sink, delivery, open } = openDelivery(parts.sink, { settings, routes, logger, observer, clock, hold, events })
  const reader: SlotReader = new SlotReader({
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
      await open()
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

type DeliveryParts = Omit<ExactlyOnceOptions, 'sink' | 'settings' | 'delay'> & { readonly settings: RelaySettings }

/** Lanes, at least once; or one queue in transactions, exactly once. The sink is closed with the delivery. */
function openDelivery(
  given: Sink | undefined,
  parts: DeliveryParts,
): {
  readonly sink: Pick<Sink, 'name' | 'check'>
  readonly delivery: Delivery | ExactlyOnce
  readonly open: () => Promise<void>
} {
  const { settings, logger } = parts
  const { exactlyOnce } = settings
  const target = settings.kafka
  if (given) return { sink: given, delivery: new Delivery({ ...parts, sink: given }), open: async () => {} }
  if (exactlyOnce) {
    const sink = createKafkajsTransactions({ target, logger })
    const delivery = new ExactlyOnce({ ...parts, settings: { ...settings, exactlyOnce }, sink })
    return { sink, delivery, open: () => sink.open() }
  }
  const sink = openKafkaSink({ target, logger })
  return { sink, delivery: new Delivery({ ...parts, sink }), open: () => sink.open() }
}

/** What to make of a message that cannot be read: foreign under `*`, else a dead letter, else a halt. */
function interpreter({ prefixes, deadLetter }: RelaySettings) {
  if (prefixes.includes('*')) return interpretOrForeign
  return deadLetter?.causes.includes('malformed') ? interpretOrDeadLetter : interpretMessage
}

/** Connects, goes on trying, and looks now and then: an idle relay whose Kafka is away must not say that it is well. */
function watchSink(sink: Pick<Sink, 'name' | 'check'>, logger: RelayLogger) {
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
