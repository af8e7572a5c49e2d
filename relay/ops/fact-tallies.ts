import type { Registry } from 'prom-client'
import { LABEL_PAIRS_MAX, LATENCY_BUCKETS_SECONDS, OVERFLOW_LABEL, RELAY_METRICS } from './metrics-table.ts'
import { type MetricValue, registerOnDemand } from './read-on-demand.ts'

// Per fact there are three calls, and prom-client takes about 1.3 µs for them (a label hash each time, a copy of all
// buckets); facts are therefore tallied here, and given to its registry when somebody asks.

interface Tally {
  readonly labels: { readonly aggregate_type: string; readonly event_type: string }
  consumed: number
  handled: number
  failed: number
  seconds: number
  /** Not cumulative; one more than the bounds, the last is above them all. */
  readonly buckets: number[]
}

export class FactTallies {
  readonly #byType = new Map<string, Map<string, Tally>>()
  readonly #all: Tally[] = []
  #overflow: Tally | undefined
  #lastType: string | undefined
  #lastEvent: string | undefined
  #last: Tally | undefined

  of(aggregateType: string, eventType: string): Tally {
    // Facts of one kind often stand together, and both texts are then the very same objects.
    if (aggregateType === this.#lastType && eventType === this.#lastEvent) return this.#last as Tally
    this.#last = this.#byType.get(aggregateType)?.get(eventType) ?? this.#add(aggregateType, eventType)
    this.#lastType = aggregateType
    this.#lastEvent = eventType
    return this.#last
  }

  handled(aggregateType: string, eventType: string, seconds: number): void {
    const tally = this.of(aggregateType, eventType)
    tally.handled++
    tally.seconds += seconds
    tally.buckets[bucketOf(seconds)]!++
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
      registerOnDemand(registry, metric, () =>
        this.#all.flatMap((tally) =>
          count(tally) === 0 ? [] : [{ labels: { ...tally.labels }, value: count(tally) }],
        ),
      )
    }
    registerOnDemand(registry, handlerLatency, () =>
      this.#all.flatMap((tally) => (tally.handled === 0 ? [] : histogramValues(tally))),
    )
  }
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

function bucketOf(seconds: number): number {
  let index = 0
  while (index < LATENCY_BUCKETS_SECONDS.length && seconds > LATENCY_BUCKETS_SECONDS[index]!) index++
  return index
}
