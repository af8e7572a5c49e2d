import { decodeFact } from '../../src/envelope/decode.ts'
import { showPayload } from '../cli/payload.ts'
import { DEAD_LETTER_HEADERS } from '../dead-letter.ts'
import type { Entry } from '../entry.ts'
import { formatLsn } from '../lsn.ts'
import { createRouter } from '../router.ts'
import type { RelayObserver, Route } from '../types.ts'
import type { FactsSection, RelaySection, TopicsSection } from './state.ts'

/** Facts that the page lists. */
export const FACTS_KEPT = 50
/** Topics come from data: those beyond are counted, not kept. */
export const TOPICS_KEPT = 200
/** A larger value is not kept for its payload. */
export const PAYLOAD_BYTES_MAX = 65_536
/** Keys, types and messages longer than this are cut. */
const TEXT_MAX = 200
const FAULT_KINDS_MAX = 50
const FAULT_MEMORY_MS = 60_000

type FactRow = FactsSection['facts'][number]
interface KeptFact {
  readonly row: FactRow
  /** Undefined unless payloads are on. */
  readonly value: Buffer | undefined
}
interface KeptTopic {
  count: number
  /** At the last tick. */
  countBefore: number
  perSecond: number
  last: TopicsSection['topics'][number]['last']
}
interface Fault {
  readonly side: 'kafka' | 'postgres'
  readonly type: string
  readonly atMs: number[]
}

/**
 * Watches what passes: counts, the last fact of each topic and the last facts of all, in memory that does not grow. One
 * fact costs two additions; a batch costs a row for each of its facts that can be among the last `FACTS_KEPT`. A
 * payload is neither read nor held unless `payloads` is true.
 *
 * @example
 * const recorder = new Recorder({ routes: [], payloads: false })
 * createRelayFromSettings(settings, { observer: recorder.observe(observer), onDurable: (entries) => recorder.durable(entries) })
 */
export class Recorder {
  readonly #route: ReturnType<typeof createRouter>
  readonly #payloads: boolean
  readonly #nowMs: () => number
  /** A ring: the oldest is written over. */
  readonly #facts: KeptFact[] = []
  #next = 0
  readonly #topics = new Map<string, KeptTopic>()
  readonly #omitted = new Set<string>()
  readonly #faults = new Map<string, Fault>()
  receivedCount = 0
  deliveredCount = 0
  /** Dead letters since the start. */
  deadLetterCount = 0

  constructor(options: {
    readonly routes: readonly Route[]
    readonly payloads: boolean
    readonly nowMs?: () => number
  }) {
    this.#route = createRouter(options.routes)
    this.#payloads = options.payloads
    this.#nowMs = options.nowMs ?? Date.now
  }

  /** Hears what passes, and hands it on. */
  observe(observer: RelayObserver): RelayObserver {
    return {
      ...observer,
      consumed: (aggregateType, eventType) => {
        this.receivedCount++
        observer.consumed(aggregateType, eventType)
      },
      produceFailed: (topic, errorType) => {
        this.#fault('kafka', errorType)
        observer.produceFailed(topic, errorType)
      },
      replicationError: (slot, errorType) => {
        this.#fault('postgres', errorType)
        observer.replicationError(slot, errorType)
      },
      deadLettered: (cause, topic) => {
        this.deadLetterCount++
        observer.deadLettered?.(cause, topic)
      },
    }
  }

  /** A batch that has become durable. */
  durable(entries: readonly Entry[]): void {
    const atMs = this.#nowMs()
    const from = Math.max(0, entries.length - FACTS_KEPT)
    for (let index = 0; index < entries.length; index++) {
      const entry = entries[index] as Entry
      if (entry.settles) this.deliveredCount++
      // Its own topic shows it, with its cause.
      if (entry.headers[DEAD_LETTER_HEADERS.cause] !== undefined) continue
      const topic = this.#topicOf(entry)
      const kept = this.#topic(topic)
      if (kept) kept.count++
      if (index < from) continue
      const row = toRow(entry, topic, atMs, this.#payloads)
      if (kept) kept.last = { id: row.id, eventType: row.eventType, key: row.aggregateId, atMs }
      // A copy: the entry's bytes may be a range of something larger.
      this.#keep({ row, value: row.hasPayload ? Buffer.from(entry.value) : undefined })
    }
  }

  /** Once a second, for the rates. */
  tick(seconds: number): void {
    for (const topic of this.#topics.values()) {
      topic.perSecond = (topic.count - topic.countBefore) / seconds
      topic.countBefore = topic.count
    }
  }

  facts(): FactsSection {
    const order = [...this.#facts.slice(this.#next), ...this.#facts.slice(0, this.#next)]
    return { facts: order.reverse().map(({ row }) => row) }
  }

  topics(): TopicsSection {
    const topics = [...this.#topics].map(([topic, { count, perSecond, last }]) => ({ topic, count, perSecond, last }))
    topics.sort((a, b) => (a.topic < b.topic ? -1 : 1))
    return { topics, omitted: this.#omitted.size }
  }

  faults(): RelaySection['faults'] {
    const since = this.#nowMs() - FAULT_MEMORY_MS
    return [...this.#faults.values()]
      .map(({ side, type, atMs }) => ({
        side,
        type,
        count: atMs.filter((at) => at > since).length,
        lastAtMs: atMs.at(-1) as number,
      }))
      .filter(({ count }) => count > 0)
      .sort((a, b) => b.lastAtMs - a.lastAtMs)
  }

  /** For reading; undefined: not kept, or not any more. */
  payload(id: string): string | undefined {
    const value = this.#facts.find(({ row }) => row.id === id)?.value
    return value === undefined ? undefined : showPayload(decodeFact(value).payload)
  }

  #topicOf({ prefix, aggregateType, eventType }: Entry): string {
    return this.#route(prefix, aggregateType, eventType).topic ?? `handler: ${prefix}.${aggregateType}`
  }

  #topic(name: string): KeptTopic | undefined {
    const known = this.#topics.get(name)
    if (known) return known
    if (this.#topics.size >= TOPICS_KEPT) {
      if (this.#omitted.size < TOPICS_KEPT) this.#omitted.add(name)
      return undefined
    }
    const fresh: KeptTopic = {
      count: 0,
      countBefore: 0,
      perSecond: 0,
      last: { id: '', eventType: '', key: '', atMs: 0 },
    }
    this.#topics.set(name, fresh)
    return fresh
  }

  #keep(fact: KeptFact): void {
    this.#facts[this.#next] = fact
    this.#next = (this.#next + 1) % FACTS_KEPT
  }

  #fault(side: Fault['side'], type: string): void {
    const name = `${side} ${type}`
    let fault = this.#faults.get(name)
    if (!fault) {
      if (this.#faults.size >= FAULT_KINDS_MAX) return
      fault = { side, type, atMs: [] }
      this.#faults.set(name, fault)
    }
    fault.atMs.push(this.#nowMs())
    if (fault.atMs.length > 100) fault.atMs.shift()
  }
}

function toRow(entry: Entry, topic: string, atMs: number, payloads: boolean): FactRow {
  const { commitTimeMicros, value } = entry
  return {
    id: entry.id,
    topic: cut(topic),
    aggregateType: cut(entry.aggregateType),
    // A text of its own: the key is a view into the value, which must not be held with it.
    aggregateId: cut(entry.key.toString('utf8', 0, TEXT_MAX * 4)),
    eventType: cut(entry.eventType),
    lsn: formatLsn(entry.messageLsn),
    bytes: value.length,
    atMs,
    latencyMs: commitTimeMicros === undefined ? null : Math.max(0, atMs - Number(commitTimeMicros / 1_000n)),
    hasPayload: payloads && value.length <= PAYLOAD_BYTES_MAX,
  }
}

function cut(text: string): string {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)}…`
}
