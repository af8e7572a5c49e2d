import type { ProduceTracer } from '../src/trace/produce-trace.ts'
import { Delivery } from './delivery.ts'
import type { Entry } from './entry.ts'
import { ExactlyOnce, type ExactlyOnceOptions } from './exactly-once.ts'
import { type HealthParts, judgeHealth, judgeLiveness, judgeReadiness } from './health.ts'
import { createKafkajsTransactions } from './kafka/kafkajs-transactions.ts'
import { openKafkaSink } from './kafka/open-sink.ts'
import { parseLsn } from './lsn.ts'
import { silentLogger, silentObserver } from './observer.ts'
import { interpretMessage, interpretOrDeadLetter, interpretOrForeign, withTraceparent } from './record.ts'
import type { Sink } from './sink/sink.ts'
import { SinkWatch } from './sink/sink-watch.ts'
import { traceSink } from './sink/traced-sink.ts'
import { SlotReader } from './slot-reader.ts'
import { createWalSource } from './source/wal/wal-source.ts'
import { deliverySeconds, relayStats } from './stats.ts'
import type { Relay, RelayLogger, RelayObserver, RelayOutcome, RelaySettings, Route } from './types.ts'

// The relay, put together; the only file that knows source, router and sink:
//
//   createWalSource ─▶ SlotReader (ledger, window, lifecycle) ─▶ Delivery (routes, lanes) ─▶ Sink (Kafka)
//                          ▲                                        │
//                          └──────────────── done ──────────────────┘
//
// With EXACTLY_ONCE, ExactlyOnce (one queue, Kafka transactions) stands in Delivery's place.

export interface RelayParts {
  readonly routes?: readonly Route[]
  readonly logger?: RelayLogger
  readonly observer?: RelayObserver
  /** Instead of Kafka, from the settings. The relay closes it. */
  readonly sink?: Sink
  /** Traces each produce request; not with EXACTLY_ONCE. */
  readonly tracer?: ProduceTracer
  /** Hears of facts that became durable, a batch at a time; must not throw, and must not keep an entry. */
  readonly onDurable?: (entries: readonly Entry[]) => void
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
    onDone: (entries) => {
      const seconds = deliverySeconds(entries[0])
      if (seconds !== undefined) observer.delivered?.(seconds)
      parts.onDurable?.(entries)
      reader.done(entries)
    },
    onDropped: (entries) => reader.dropped(entries),
    onReplaced: (entry, by) => reader.replaced(entry, by),
    onFenced: (error) => reader.yieldSlot(error),
    onHalt: (error) => reader.halt(error),
  }
  const { sink, delivery, open } = openDelivery(parts, { settings, routes, logger, observer, clock, hold, events })
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
  const sinkWatch = new SinkWatch(sink, logger)

  const healthParts = (): HealthParts => ({
    phase: reader.phase,
    readerTrouble: reader.trouble,
    deliveryTrouble: delivery.oldestTrouble(),
    sinkTrouble: sinkWatch.trouble,
    vitals: reader.stats().vitals,
    nowMs: clock.nowMs(),
  })

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
    health: () => judgeHealth(healthParts()),
    readiness: () => judgeReadiness(healthParts()),
    liveness: () => judgeLiveness(healthParts()),
    stats: () => relayStats(reader, delivery.laneCounts(), settings.slot),
    async [Symbol.asyncDispose]() {
      await this.stop()
    },
  }
}

type DeliveryParts = Omit<ExactlyOnceOptions, 'sink' | 'settings' | 'delay'> & { readonly settings: RelaySettings }

/** Lanes, at least once; or one queue in transactions, exactly once. The sink is closed with the delivery. */
function openDelivery(
  { sink: given, tracer }: Pick<RelayParts, 'sink' | 'tracer'>,
  parts: DeliveryParts,
): {
  readonly sink: Pick<Sink, 'name' | 'check'>
  readonly delivery: Delivery | ExactlyOnce
  readonly open: () => Promise<void>
} {
  const { settings, logger } = parts
  const { exactlyOnce } = settings
  const target = settings.kafka
  const traced = <S extends Sink>(sink: S): S => (tracer ? traceSink(sink, tracer) : sink)
  if (given) return { sink: given, delivery: new Delivery({ ...parts, sink: traced(given) }), open: async () => {} }
  if (exactlyOnce) {
    const sink = createKafkajsTransactions({ target, logger })
    const delivery = new ExactlyOnce({ ...parts, settings: { ...settings, exactlyOnce }, sink })
    return { sink, delivery, open: () => sink.open() }
  }
  const sink = openKafkaSink({ target, logger, requestBytes: settings.sendBytes })
  return { sink, delivery: new Delivery({ ...parts, sink: traced(sink) }), open: () => sink.open() }
}

/** What to make of a message that cannot be read: foreign under `*`, else a dead letter, else a halt. */
function interpreter({ prefixes, deadLetter, traceparentHeader }: RelaySettings) {
  const interpret = prefixes.includes('*')
    ? interpretOrForeign
    : deadLetter?.causes.includes('malformed')
      ? interpretOrDeadLetter
      : interpretMessage
  return traceparentHeader ? withTraceparent(interpret) : interpret
}
