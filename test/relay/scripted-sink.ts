import { type Sink, SinkError, type SinkFaultKind, type SinkRecord } from '../../relay/sink/sink.ts'

/** One request that the sink was given; the test says how it ends. */
export interface Request {
  readonly topic: string
  readonly partition: number
  readonly records: readonly SinkRecord[]
  readonly keys: string[]
  succeed(): void
  fail(kind: SinkFaultKind, type?: string): void
}

/**
 * A sink in memory that answers as the test says, for what no broker can be brought to do at will. Fails at once where the
 * relay breaks its promise: two requests open for one partition, or one while the producer is renewed.
 */
export class ScriptedSink implements Sink {
  readonly name = 'scripted'
  readonly requests: Request[] = []
  readonly counts = new Map<string, number>()
  readonly violations: string[] = []
  renewals = 0
  closed = false
  /** Resolved by the test; absent: renewing takes no time. */
  renewing: Promise<void> | undefined
  /** Answers each request by itself; undefined: the test does. */
  auto: ((request: Request) => void) | undefined
  readonly #open = new Set<string>()
  #isRenewing = false

  get openCount(): number {
    return this.#open.size
  }

  async connect(): Promise<void> {}
  async check(): Promise<void> {}

  async partitionCount(topic: string): Promise<number> {
    const count = this.counts.get(topic)
    if (count === undefined) throw new SinkError('topicMissing', 'UNKNOWN_TOPIC_OR_PARTITION', `no topic ${topic}`)
    return count
  }

  async createTopic(topic: string, partitions: number): Promise<void> {
    this.counts.set(topic, partitions)
  }

  send(topic: string, partition: number, records: readonly SinkRecord[]): Promise<void> {
    const lane = `${topic}/${partition}`
    if (this.#open.has(lane)) this.violations.push(`two requests open for ${lane}`)
    if (this.#isRenewing) this.violations.push(`a request for ${lane} beside a renewal`)
    if (this.closed) this.violations.push(`a request for ${lane} after close`)
    this.#open.add(lane)
    return new Promise((resolve, reject) => {
      const request: Request = {
        topic,
        partition,
        records,
        keys: records.map((record) => record.key.toString()),
        succeed: () => {
          this.#open.delete(lane)
          resolve()
        },
        fail: (kind, type = kind.toUpperCase()) => {
          this.#open.delete(lane)
          reject(new SinkError(kind, type, `${type} on ${lane}`))
        },
      }
      this.requests.push(request)
      this.auto?.(request)
    })
  }

  async renew(): Promise<void> {
    if (this.#open.size > 0) this.violations.push('renewed while a request was open')
    this.renewals++
    this.#isRenewing = true
    await this.renewing
    this.#isRenewing = false
  }

  async close(): Promise<void> {
    this.closed = true
  }
}

/** A clock and a delay that move only when the test says so. */
export class ManualTime {
  now = 0
  readonly delays: number[] = []
  #sleepers: { readonly at: number; readonly wake: () => void }[] = []

  readonly clock = { nowMs: () => this.now }

  readonly delay = (ms: number): Promise<void> => {
    this.delays.push(ms)
    if (ms <= 0) return Promise.resolve()
    return new Promise((wake) => this.#sleepers.push({ at: this.now + ms, wake }))
  }

  pass(ms: number): void {
    this.now += ms
    const due = this.#sleepers.filter(({ at }) => at <= this.now)
    this.#sleepers = this.#sleepers.filter(({ at }) => at > this.now)
    for (const { wake } of due) wake()
  }
}
