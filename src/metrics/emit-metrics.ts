import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { EmitEvent } from '../diagnostics.ts'

// `factlib:emit` → metrics in a registry of prom-client that the user hands in; the package itself is never loaded. A
// registry asks its metrics for `get()` when it is read: that is all that is needed of one.

const LABELS = ['aggregate_type', 'event_type'] as const

/** Every metric of the emitting side; the names of Django's factlib. docs/metrics.md is made from it. */
export const EMIT_METRICS = {
  emitted: {
    name: 'factlib_events_emitted_total',
    type: 'counter',
    labels: LABELS,
    help: 'Facts that the database took; their transaction may still be rolled back.',
  },
  failures: {
    name: 'factlib_emit_failures_total',
    type: 'counter',
    labels: LABELS,
    help: 'Facts that the database did not take, or that were emitted outside a transaction.',
  },
  seconds: {
    name: 'factlib_event_processing_seconds',
    type: 'histogram',
    labels: LABELS,
    help: 'Seconds of the round trip that wrote a fact; facts of one array share one.',
  },
} as const

/** The part of a `Registry` of prom-client 14 or 15 that is needed. */
export interface EmitRegistryLike {
  registerMetric(metric: never): void
  removeSingleMetric(name: string): void
}

const BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
/** Label pairs are kept for ever; past this many, `_other`. */
const PAIRS_MAX = 1_000
const OTHER = '_other'

/**
 * Counts emissions of this process into a registry of prom-client; returns what ends it and removes the metrics.
 *
 * @example
 * ```ts
 * import { register } from 'prom-client'
 * const stop = collectEmitMetrics(register)
 * ```
 * @throws Error of the registry when a metric of one of the names is there already.
 */
export function collectEmitMetrics(registry: EmitRegistryLike): () => void {
  const tallies = new EmitTallies()
  const metrics = [
    toMetric(EMIT_METRICS.emitted, tallies, ({ labels, emitted }) =>
      emitted === 0 ? [] : [{ labels, value: emitted }],
    ),
    toMetric(EMIT_METRICS.failures, tallies, ({ labels, failed }) => (failed === 0 ? [] : [{ labels, value: failed }])),
    toMetric(EMIT_METRICS.seconds, tallies, histogramValues),
  ]
  for (const metric of metrics) registry.registerMetric(metric as never)
  const listen = (event: unknown) => tallies.take(event as EmitEvent)
  subscribe('factlib:emit', listen)
  return () => {
    unsubscribe('factlib:emit', listen)
    for (const { name } of metrics) registry.removeSingleMetric(name)
  }
}

interface Tally {
  readonly labels: { readonly aggregate_type: string; readonly event_type: string }
  emitted: number
  failed: number
  seconds: number
  /** Not cumulative; the last is above all bounds. */
  readonly buckets: number[]
}

interface Value {
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
  readonly metricName?: string
}

class EmitTallies {
  readonly #tallies = new Map<string, Tally>()

  take({ phase, facts, seconds }: EmitEvent): void {
    if (phase === 'start') return
    for (const { aggregateType, eventType } of facts) {
      const tally = this.#of(aggregateType, eventType)
      if (phase === 'error') tally.failed++
      else tally.emitted++
      tally.seconds += seconds
      const bucket = BUCKETS_SECONDS.findIndex((bound) => seconds <= bound)
      tally.buckets[bucket < 0 ? BUCKETS_SECONDS.length : bucket]!++
    }
  }

  values(read: (tally: Tally) => Value[]): Value[] {
    return [...this.#tallies.values()].flatMap(read)
  }

  reset(): void {
    this.#tallies.clear()
  }

  #of(aggregateType: string, eventType: string): Tally {
    const key = `${aggregateType}\0${eventType}`
    const known = this.#tallies.get(key)
    if (known) return known
    if (this.#tallies.size >= PAIRS_MAX && aggregateType !== OTHER) return this.#of(OTHER, OTHER)
    const buckets = new Array<number>(BUCKETS_SECONDS.length + 1).fill(0)
    const labels = { aggregate_type: aggregateType, event_type: eventType }
    const tally: Tally = { labels, emitted: 0, failed: 0, seconds: 0, buckets }
    this.#tallies.set(key, tally)
    return tally
  }
}

function histogramValues({ labels, seconds, buckets }: Tally): Value[] {
  const { name } = EMIT_METRICS.seconds
  let cumulative = 0
  const values: Value[] = buckets.map((count, index) => {
    cumulative += count
    return {
      metricName: `${name}_bucket`,
      labels: { le: BUCKETS_SECONDS[index] ?? '+Inf', ...labels },
      value: cumulative,
    }
  })
  values.push({ metricName: `${name}_sum`, labels, value: seconds })
  values.push({ metricName: `${name}_count`, labels, value: cumulative })
  return values
}

function toMetric(
  { name, help, type }: { readonly name: string; readonly help: string; readonly type: string },
  tallies: EmitTallies,
  read: (tally: Tally) => Value[],
) {
  const get = async () => ({ name, help, type, values: tallies.values(read), aggregator: 'sum' })
  return { name, help, type, get, reset: () => tallies.reset() }
}
