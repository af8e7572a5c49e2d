/**
 * `factlib/relay`: from the slot to Kafka, or to code of your own.
 *
 *   createRelay       slot → Kafka (and handlers): what `npx factlib-relay` runs
 *   subscribeToSlot   slot → a loop, acknowledged by hand
 *
 * Both keep DESIGN.md's invariants through the same ledger: at least once, first deliveries of one key in commit order,
 * nothing confirmed before it is durable.
 */
import { parseRelayOptions, type RelayOptions } from './config/settings.ts'
import { createRelayFromSettings } from './relay.ts'
import type { Relay } from './types.ts'

/**
 * A relay in this process. Options are those of docs/options.md in camelCase; what is not given comes from the
 * environment, then from the defaults.
 *
 * @example
 * const relay = createRelay({
 *   prefix: 'shop',
 *   databaseUrl: 'postgres://relay@db/shop',
 *   kafkaBrokers: ['kafka:9092'],
 *   routes: [
 *     { aggregateType: 'user', topic: 'user-events' },
 *     { aggregateType: 'audit', handle: async ({ fact }) => audit.write(fact.json()) },
 *   ],
 * })
 * await relay.start()
 * process.once('SIGTERM', () => relay.stop())
 * @throws ConfigurationError with every problem at once, before anything is touched.
 */
export function createRelay(options: RelayOptions): Relay {
  return createRelayFromSettings(parseRelayOptions(options), {
    ...(options.routes ? { routes: options.routes } : {}),
    ...(options.sink ? { sink: options.sink } : {}),
    ...(options.tracer ? { tracer: options.tracer } : {}),
    ...(options.logger ? { logger: options.logger } : {}),
    ...(options.observer ? { observer: options.observer } : {}),
  })
}

export type { EmittingSpan, ProduceRequest, ProduceTracer } from '../src/trace/produce-trace.ts'
export type { RelayOptions } from './config/settings.ts'
export { RELAY_ERROR_CODES, RelayHaltError, SlotInUseError } from './errors.ts'
export { createRelayMetrics, type RelayMetrics } from './ops/metrics.ts'
export { type Sink, SinkError, type SinkFaultKind, type SinkRecord, type StoredRecord } from './sink/sink.ts'
export { type SubscribedFact, type SubscribeOptions, subscribeToSlot } from './subscribe.ts'
export type {
  ReceivedFact,
  Relay,
  RelayHealth,
  RelayLogger,
  RelayObserver,
  RelayOutcome,
  RelayStats,
  Route,
} from './types.ts'
