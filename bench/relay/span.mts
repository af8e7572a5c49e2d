// What a contestant of bench/relay.mts is told, and how it measures itself.

export interface ContestantSettings {
  readonly url: string
  readonly slot: string
  readonly publication: string
  readonly prefix: string
  readonly endLsn: string
  readonly facts: number
  readonly brokers: readonly string[]
  readonly topics: readonly string[]
  readonly partitions: number
  readonly client: 'platformatic' | 'kafkajs'
  readonly codec: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
  /** The built package's `relay.js`. */
  readonly relayModule: string
  /** Relayed first by the same process, and not counted. */
  readonly warmUp?: Pick<ContestantSettings, 'url' | 'slot' | 'endLsn' | 'facts'>
  /** More copies of the slot, each relayed after the one before: the result is of all, on average. */
  readonly moreSlots?: readonly string[]
}

export interface ContestantResult {
  readonly seconds: number
  readonly cpuMicrosPerFact: number
  readonly rssMegabytes: number
  /** Requests per 10,000 facts. */
  readonly requests?: number
  /** Seconds from the start of the stream until PostgreSQL had the last position. */
  readonly confirmedSeconds?: number
  /** Seconds from the first record in Kafka to the last, by the broker's clock. */
  readonly kafkaSeconds?: number
  /** Of a contestant with a workload of its own; else the backlog's. */
  readonly facts?: number
}

/** Starts the clock when called; what it returns stops it. */
export function startSpan(facts: number): () => ContestantResult {
  const cpu = process.cpuUsage()
  const startedMs = performance.now()
  return () => {
    const seconds = (performance.now() - startedMs) / 1000
    const { user, system } = process.cpuUsage(cpu)
    return { seconds, cpuMicrosPerFact: (user + system) / facts, rssMegabytes: peakMegabytes() }
  }
}

export function peakMegabytes(): number {
  return Math.round(process.resourceUsage().maxRSS / 1024)
}
