/** Who has said what: the shops when they committed, Kafka when a record arrived, and in the end the database. */

/** One record as it came out of Kafka. */
export interface Arrival {
  readonly factId: string
  readonly eventType: string
  /** Key of the record, and of the business row. */
  readonly aggregateId: string
  readonly topic: string
  readonly partition: number
  readonly traceId: string
  /** Milliseconds of the monotonic clock. */
  readonly atMs: number
}

/** A record that came and whose transaction is known to have committed. */
export interface Delivery extends Arrival {
  /**
   * From the commit to the arrival. The commit counts from when the shop heard of it, which is a moment after it was:
   * a record that was even faster has 0.
   */
  readonly latencyMs: number
  readonly duplicate: boolean
}

export interface Verdict {
  /** Different facts that arrived and have their row. */
  readonly delivered: number
  /** Records of facts that had already arrived. */
  readonly duplicates: number
  /** Rows without a record. */
  readonly lost: readonly string[]
  /** Records without a row, or a second fact for one row. */
  readonly phantom: readonly string[]
  /** Facts that arrived before an earlier one of the same aggregate. */
  readonly outOfOrder: readonly string[]
}

export class Tally {
  readonly arrivals: Arrival[] = []
  readonly deliveries: Delivery[] = []
  readonly #committedAtMs = new Map<string, number>()
  /** Arrived before the shop heard of its commit, or never committed at all. */
  readonly #early = new Map<string, Arrival[]>()
  readonly #seen = new Set<string>()
  readonly #waiting = new Set<() => void>()
  readonly #onDelivery: (delivery: Delivery) => void

  constructor(onDelivery: (delivery: Delivery) => void = () => {}) {
    this.#onDelivery = onDelivery
  }

  get committedCount(): number {
    return this.#committedAtMs.size
  }

  /** Different facts. */
  get deliveredCount(): number {
    return this.#seen.size
  }

  committed(factIds: readonly string[], atMs: number): void {
    for (const factId of factIds) {
      this.#committedAtMs.set(factId, atMs)
      for (const arrival of this.#early.get(factId) ?? []) this.#deliver(arrival, atMs)
      this.#early.delete(factId)
    }
    this.#notify()
  }

  arrived(arrival: Arrival): void {
    this.arrivals.push(arrival)
    const committedAtMs = this.#committedAtMs.get(arrival.factId)
    if (committedAtMs !== undefined) this.#deliver(arrival, committedAtMs)
    else this.#early.set(arrival.factId, [...(this.#early.get(arrival.factId) ?? []), arrival])
    this.#notify()
  }

  /** Resolves when it holds; it is asked after each commit and each arrival. */
  async when(holds: (tally: this) => boolean): Promise<void> {
    while (!holds(this)) await new Promise<void>((resolve) => this.#waiting.add(resolve))
  }

  /** Resolves when so many different facts have arrived. */
  whenDelivered(count: number): Promise<void> {
    return this.when(() => this.deliveredCount >= count)
  }

  #deliver(arrival: Arrival, committedAtMs: number): void {
    const latencyMs = Math.max(0, arrival.atMs - committedAtMs)
    const delivery = { ...arrival, latencyMs, duplicate: this.#seen.has(arrival.factId) }
    this.#seen.add(arrival.factId)
    this.deliveries.push(delivery)
    this.#onDelivery(delivery)
  }

  #notify(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

/** What a business row and its fact share. */
export function rowName({ eventType, aggregateId }: { eventType: string; aggregateId: string }): string {
  return `${eventType} ${aggregateId}`
}

/**
 * Holds what arrived against the rows that are in the database. `places`: the order in which the events of one
 * aggregate happen.
 */
export function judge(
  arrivals: readonly Arrival[],
  rows: readonly { readonly eventType: string; readonly aggregateId: string }[],
  places: readonly string[],
): Verdict {
  const expected = new Set(rows.map(rowName))
  const seen = new Set<string>()
  const found = new Set<string>()
  const latest = new Map<string, number>()
  const phantom: string[] = []
  const outOfOrder: string[] = []
  let duplicates = 0
  for (const arrival of arrivals) {
    if (seen.has(arrival.factId)) {
      duplicates += 1
      continue
    }
    seen.add(arrival.factId)
    const name = rowName(arrival)
    if (!expected.has(name) || found.has(name)) {
      phantom.push(name)
      continue
    }
    found.add(name)
    const key = `${arrival.topic} ${arrival.aggregateId}`
    const place = places.indexOf(arrival.eventType)
    if (place < (latest.get(key) ?? -1)) outOfOrder.push(name)
    latest.set(key, Math.max(place, latest.get(key) ?? -1))
  }
  return {
    delivered: found.size,
    duplicates,
    lost: [...expected].filter((row) => !found.has(row)),
    phantom,
    outOfOrder,
  }
}

/** The value below which this share of the sorted-by-size values lies; undefined for none. */
export function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)]
}
