/**
 * `RelayObserver` and `Relay.stats()` → Prometheus metrics.
 *
 *   metrics-table.ts    every metric: name, type, labels, meaning; docs/metrics.md is made from it
 *   fact-tallies.ts     what is counted per fact, cheaply
 *   read-on-demand.ts   values that the registry asks for when it is read
 *
 * Names and labels of OwlPost are kept; what they cannot say is under `factlib_relay_`. Per request or error prom-client
 * counts itself, and gauges are read when somebody asks: nothing is paid for them per fact.
 */
import { Counter, Histogram, Registry } from 'prom-client'
import { packageVersion } from '../package-version.ts'
import type { Relay, RelayObserver } from '../types.ts'
import { FactTallies } from './fact-tallies.ts'
import {
  DELIVERY_BUCKETS_SECONDS,
  ERROR_TYPES_MAX,
  LATENCY_BUCKETS_SECONDS,
  OVERFLOW_LABEL,
  RELAY_METRICS,
  TOPICS_MAX,
} from './metrics-table.ts'
import { type MetricValue, registerOnDemand } from './read-on-demand.ts'

export { LABEL_PAIRS_MAX, LATENCY_BUCKETS_SECONDS, OVERFLOW_LABEL, RELAY_METRICS } from './metrics-table.ts'

/** A `RelayObserver` whose counts can be read as Prometheus text. */
export interface RelayMetrics {
  readonly observer: RelayObserver
  /** From now on the gauges (lag, budget, what waits, phase) are read from this relay. */
  watch(relay: Pick<Relay, 'stats' | 'readiness'>): void
  /** Text format 0.0.4. */
  text(): Promise<string>
  readonly contentType: string
  /** To be merged with metrics of one's own (`Registry.merge` of prom-client). */
  readonly registry: Registry
}

/**
 * Metrics with a registry of their own; nothing is registered globally, so several relays in one process are fine.
 *
 * @example
 * ```ts
 * const metrics = createRelayMetrics()
 * const relay = createRelay({ prefix: 'shop', observer: metrics.observer })
 * metrics.watch(relay)
 * console.log(await metrics.text())
 * ```
 */
export function createRelayMetrics(): RelayMetrics {
  const registry = new Registry()
  const tallies = new FactTallies()
  tallies.register(registry)
  const registers = [registry]
  const table = RELAY_METRICS
  const successes = new Counter({ ...promClient(table.produceSuccess), registers })
  const failures = new Counter({ ...promClient(table.produceFailures), registers })
  const latency = new Histogram({
    ...promClient(table.produceLatency),
    buckets: [...LATENCY_BUCKETS_SECONDS],
    registers,
  })
  const errors = new Counter({ ...promClient(table.replicationErrors), registers })
  const retries = new Counter({ ...promClient(table.retries), registers })
  const deadLetters = new Counter({ ...promClient(table.deadLetters), registers })
  const foreign = new Counter({ ...promClient(table.foreign), registers })
  const delivery = new Histogram({ ...promClient(table.delivery), buckets: [...DELIVERY_BUCKETS_SECONDS], registers })
  const topicLabel = bounded(TOPICS_MAX)
  const errorLabel = bounded(ERROR_TYPES_MAX)
  let relay: Pick<Relay, 'stats' | 'readiness'> | undefined
  registerGauges(registry, () => relay)
  return {
    registry,
    contentType: registry.contentType,
    text: () => registry.metrics(),
    watch: (watched) => {
      relay = watched
    },
    observer: {
      consumed: (aggregateType, eventType) => {
        tallies.of(aggregateType, eventType).consumed++
      },
      handled: (aggregateType, eventType, seconds) => tallies.handled(aggregateType, eventType, seconds),
      handlerFailed: (aggregateType, eventType) => {
        tallies.of(aggregateType, eventType).failed++
        retries.inc({ cause: 'handler' })
      },
      produced: (topic, records, seconds) => {
        const label = topicLabel(topic)
        successes.inc({ topic: label }, records)
        latency.observe({ topic: label }, seconds)
      },
      produceFailed: (topic, errorType) => {
        const type = errorLabel(errorType)
        failures.inc({ topic: topicLabel(topic), error_type: type })
        retries.inc({ cause: `kafka:${type}` })
      },
      replicationError: (slot, errorType) => {
        const type = errorLabel(errorType)
        errors.inc({ slot, error_type: type })
        retries.inc({ cause: `postgres:${type}` })
      },
      deadLettered: (cause) => deadLetters.inc({ cause }),
      foreign: () => foreign.inc(),
      delivered: (seconds) => delivery.observe(seconds),
    },
  }
}

const PHASES: readonly Relay['phase'][] = [
  'idle',
  'connecting',
  'streaming',
  'draining',
  'standby',
  'stopped',
  'failed',
]

function registerGauges(registry: Registry, source: () => Pick<Relay, 'stats' | 'readiness'> | undefined): void {
  const table = RELAY_METRICS
  type Stats = ReturnType<Relay['stats']>
  const one = (value: number | undefined, labels: MetricValue['labels'] = {}): MetricValue[] =>
    value === undefined ? [] : [{ labels, value }]
  const gauges: readonly (readonly [{ name: string; type: string; help: string }, (stats: Stats) => MetricValue[]])[] =
    [
      [table.phase, ({ phase }) => PHASES.map((name) => ({ labels: { phase: name }, value: name === phase ? 1 : 0 }))],
      [table.confirmedLag, ({ slot, slotName }) => one(slot?.confirmedLagBytes, { slot: slotName })],
      [table.restartLag, ({ slot, slotName }) => one(slot?.restartLagBytes, { slot: slotName })],
      [table.walBudget, ({ slot, slotName }) => one(slot?.walBudgetBytes, { slot: slotName })],
      [table.walBudgetSeconds, ({ slot, slotName }) => one(slot?.walBudgetSeconds, { slot: slotName })],
      [table.behind, ({ behindSeconds }) => one(behindSeconds)],
      [table.unconfirmed, ({ unconfirmedSeconds }) => one(unconfirmedSeconds)],
      [table.heartbeat, ({ heartbeatSeconds }) => one(heartbeatSeconds)],
      [table.pendingFacts, ({ pendingFacts }) => one(pendingFacts)],
      [table.pendingBytes, ({ pendingBytes }) => one(pendingBytes)],
      [
        table.lanes,
        ({ lanes: { open, busy } }) => [
          { labels: { state: 'busy' }, value: busy },
          { labels: { state: 'idle' }, value: open - busy },
        ],
      ],
    ]
  for (const [metric, read] of gauges)
    registerOnDemand(registry, metric, () => {
      const relay = source()
      return relay ? read(relay.stats()) : []
    })
  registerOnDemand(registry, table.ready, () => {
    const relay = source()
    return relay ? one(relay.readiness().ok ? 1 : 0) : []
  })
  const versions = { version: packageVersion(), node: process.versions.node }
  registerOnDemand(registry, table.buildInfo, () => one(1, versions))
  registerOnDemand(registry, table.memory, () => one(process.memoryUsage.rss()))
  registerOnDemand(registry, table.cpu, () => {
    const { user, system } = process.cpuUsage()
    return one((user + system) / 1e6)
  })
}

/** A label's value, or `_other` once there are so many. */
function bounded(max: number): (value: string) => string {
  const known = new Set<string>()
  return (value) => {
    if (known.has(value)) return value
    if (known.size >= max) return OVERFLOW_LABEL
    known.add(value)
    return value
  }
}

function promClient<L extends string>(metric: {
  readonly name: string
  readonly help: string
  readonly labels: readonly L[]
}) {
  return { name: metric.name, help: metric.help, labelNames: [...metric.labels] }
}
