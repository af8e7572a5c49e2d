/**
 * `RelayObserver` → Prometheus metrics, with the names and labels that OwlPost's dashboards have.
 *
 * Per fact there are three calls, and prom-client takes about 1.3 µs for them (a label hash each time, a copy of all
 * buckets); facts are therefore tallied here, and given to its registry when somebody asks. Per request or error,
 * prom-client counts itself.
 */
import { Counter, Histogram, type Metric, Registry } from 'prom-client'
import type { RelayObserver } from '../types.ts'

/** Seconds; the default buckets of Prometheus' Go client, as OwlPost has them. */
export const LATENCY_BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const

/** Label pairs are kept for ever, and an event type may hold an id by mistake: past this many pairs, `OVERFLOW_LABEL`. */
export const LABEL_PAIRS_MAX = 1_000
export const OVERFLOW_LABEL = '_other'

const FACT_LABELS = ['aggregate_type', 'event_type'] as const

/** Every metric of the relay; docs/metrics.md is made from it. */
export const RELAY_METRICS = {
  consumed: {
    name: 'factlib_events_consumed_total',
    type: 'counter',
    labels: FACT_LABELS,
    help: "Facts received from PostgreSQL's WAL; a fact that is delivered again counts again.",
  },
  handlerSuccess: {
    name: 'factlib_event_handler_success_total',
    type: 'counter',
    labels: FACT_LABELS,
    help: "Facts that became durable: acknowledged by Kafka, or by a route's handler.",
  },
  handlerFailures: {
    name: 'factlib_event_handler_failures_total',
    type: 'counter',
    labels: FACT_LABELS,
    help: 'Failed attempts to make a fact durable; each is tried again.',
  },
  handlerLatency: {
    name: 'factlib_event_handler_latency_seconds',
    type: 'histogram',
    labels: FACT_LABELS,
    help: 'Seconds from the receipt of a fact until it was durable.',
  },
  produceSuccess: {
    name: 'factlib_kafka_produce_success_total',
    type: 'counter',
    labels: ['topic'],
    help: 'Records that Kafka acknowledged.',
  },
  produceFailures: {
    name: 'factlib_kafka_produce_failures_total',
    type: 'counter',
    labels: ['topic', 'error_type'],
    help: 'Produce requests that failed; each is tried again.',
  },
  produceLatency: {
    name: 'factlib_kafka_produce_latency_seconds',
    type: 'histogram',
    labels: ['topic'],
    help: 'Seconds that a produce request took until it was acknowledged; a request has up to SEND_RECORDS records.',
  },
  replicationErrors: {
    name: 'factlib_wal_replication_errors_total',
    type: 'counter',
    labels: ['slot', 'error_type'],
    help: 'Errors of the replication connection and of its slot.',
  },
} as const

/** A `RelayObserver` whose counts can be read as Prometheus text. */
export interface RelayMetrics {
  readonly observer: RelayObserver
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
 * console.log(await metrics.text())
 * ```
 */
export function createRelayMetrics(): RelayMetrics {
  const registry = new Registry()
  const tallies = new FactTallies()
  tallies.register(registry)
  const registers = [registry]
  const { produceSuccess, produceFailures, produceLatency, replicationErrors } = RELAY_METRICS
  const successes = new Counter({ ...promClient(produceSuccess), registers })
  const failures = new Counter({ ...promClient(produceFailures), registers })
  const latency = new Histogram({ ...promClient(produceLatency), buckets: [...LATENCY_BUCKETS_SECONDS], registers })
  const errors = new Counter({ ...promClient(replicationErrors), registers })
  return {
    registry,
    contentType: registry.contentType,
    text: () => registry.metrics(),
    observer: {
      consumed: (aggregateType, eventType) => {
        tallies.of(aggregateType, eventType).consumed++
      },
      handled: (aggregateType, eventType, seconds) => {
        const tally = tallies.of(aggregateType, eventType)
        tally.handled++
        tally.seconds += seconds
        tally.buckets[bucketOf(seconds)]!++
      },
      handlerFailed: (aggregateType, eventType) => {
        tallies.of(aggregateType, eventType).failed++
      },
      produced: (topic, records, seconds) => {
        successes.inc({ topic }, records)
        latency.observe({ topic }, seconds)
      },
      produceFailed: (topic, errorType) => failures.inc({ topic, error_type: errorType }),
      replicationError: (slot, errorType) => errors.inc({ slot, error_type: errorType }),
    },
  }
}

function promClient<L extends string>(metric: {
  readonly name: string
  readonly help: string
  readonly labels: readonly L[]
}) {
  return { name: metric.name, help: metric.help, labelNames: [...metric.labels] }
}

interface Tally {
  readonly labels: { readonly aggregate_type: string; readonly event_type: string }
  consumed: number
  handled: number
  failed: number
  seconds: number
  /** Not cumulative; one more than the bounds, the last is above them all. */
  readonly buckets: number[]
}

class FactTallies {
  readonly #byType = new Map<string, Map<string, Tally>>()
  readonly #all: Tally[] = []
  #overflow: Tally | undefined

  of(aggregateType: string, eventType: string): Tally {
    return this.#byType.get(aggregateType)?.get(eventType) ?? this.#add(aggregateType, eventType)
  }

  #add(aggregateType: string, eventType: string): Tally {
    if (this.#all.length >= LABEL_PAIRS_MAX) {
      this.#overflow ??= this.#create(OVERFLOW_LABEL, OVERFLOW_LABEL)
      return this.#overflow
    }
    const tally = this.#create(aggregateType, eventType)
    const ofType = this.#byType.get(aggregateType) ?? new Map<string, Tally>()
    this.#byType.set(aggregateType, ofType.set(eventType, tally))
    return tally
  }

  #create(aggregateType: string, eventType: string): Tally {
    const tally: Tally = {
      labels: { aggregate_type: aggregateType, event_type: eventType },
      consumed: 0,
      handled: 0,
      failed: 0,
      seconds: 0,
      buckets: new Array<number>(LATENCY_BUCKETS_SECONDS.length + 1).fill(0),
    }
    this.#all.push(tally)
    return tally
  }

  register(registry: Registry): void {
    const { consumed, handlerSuccess, handlerFailures, handlerLatency } = RELAY_METRICS
    const counters = [
      [consumed, (tally: Tally) => tally.consumed],
      [handlerSuccess, (tally: Tally) => tally.handled],
      [handlerFailures, (tally: Tally) => tally.failed],
    ] as const
    for (const [metric, count] of counters) {
      register(registry, metric, () =>
        this.#all.flatMap((tally) =>
          count(tally) === 0 ? [] : [{ labels: { ...tally.labels }, value: count(tally) }],
        ),
      )
    }
    register(registry, handlerLatency, () =>
      this.#all.flatMap((tally) => (tally.handled === 0 ? [] : histogramValues(tally))),
    )
  }
}

interface MetricValue {
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
  readonly metricName?: string
}

function histogramValues(tally: Tally): MetricValue[] {
  const { name } = RELAY_METRICS.handlerLatency
  let cumulative = 0
  const values: MetricValue[] = tally.buckets.map((count, index) => {
    cumulative += count
    return {
      metricName: `${name}_bucket`,
      labels: { le: LATENCY_BUCKETS_SECONDS[index] ?? '+Inf', ...tally.labels },
      value: cumulative,
    }
  })
  values.push({ metricName: `${name}_sum`, labels: { ...tally.labels }, value: tally.seconds })
  values.push({ metricName: `${name}_count`, labels: { ...tally.labels }, value: tally.handled })
  return values
}

/** The registry asks a metric for no more than this when it is read; its type is the class, which counts by itself. */
function register(
  registry: Registry,
  metric: { readonly name: string; readonly type: string; readonly help: string },
  read: () => MetricValue[],
): void {
  const { name, type, help } = metric
  registry.registerMetric({
    name,
    get: async () => ({ name, help, type, values: read(), aggregator: 'sum' }),
  } as unknown as Metric)
}

function bucketOf(seconds: number): number {
  let index = 0
  while (index < LATENCY_BUCKETS_SECONDS.length && seconds > LATENCY_BUCKETS_SECONDS[index]!) index++
  return index
}
