import { isTopicName } from './config/routes.ts'
import {
  causeOfFault,
  type DeadLetterNote,
  deadLetterPartBytes,
  invalidTopicNote,
  toDeadLetters,
} from './dead-letter.ts'
import type { Destination, DestinationEvents, Entry, StreamStart } from './entry.ts'
import { FencedByOtherRelayError, RelayHaltError } from './errors.ts'
import { formatLsn, type Lsn, ZERO_LSN } from './lsn.ts'
import { type Clock, decideSinkFault, type SinkDecision, type SinkFault } from './policy.ts'
import {
  decodePosition,
  encodePosition,
  isAtOrBelow,
  judgePosition,
  type Position,
  positionKey,
  positionOf,
} from './position.ts'
import { createRouter, type Target } from './router.ts'
import { SinkError } from './sink/sink.ts'
import { FencedError, type TransactionalSend, type TransactionalSink } from './sink/transactional-sink.ts'
import { type Planned, TransactionPlanner } from './transaction-plan.ts'
import type { RelayLogger, RelayObserver, RelaySettings, Route } from './types.ts'

// Exactly once, instead of lanes: one queue in the order of the stream.
//
//   started ─▶ fence ─▶ read the position ─▶ ┌ take what is above it ─▶ records, position, commit ┐ ─▶ done
//                 ▲                          └────────────────────────◀───────────────────────────┘
//                 └────────── anything that fails ─────────────────────────────┘
//
// Fence, then read, then write: whoever wrote before can commit nothing after the fence, so what is read then is the last
// word. The position is in the same transaction as the records, so both are there or neither is. A commit whose outcome
// is unknown needs no special care: the position that is read next tells it.

/** Of one Kafka transaction. Free producers take less: nothing waits to be collected. */
export const TRANSACTION_LIMITS = { facts: 5_000, bytes: 8 * 1024 * 1024 } as const
const SAY_AGAIN_MS = 30_000
/** While the slot may not be ours. */
const HOLD_MS = 100
/** Small segments, so that compaction begins early and the last position is found fast. */
const POSITION_TOPIC = { 'cleanup.policy': 'compact', 'segment.bytes': '16777216' } as const

export interface ExactlyOnceOptions {
  readonly sink: TransactionalSink
  readonly settings: Pick<
    RelaySettings,
    'slot' | 'acceptGap' | 'sendRecords' | 'sendBytes' | 'kafka' | 'deadLetter'
  > & {
    readonly exactlyOnce: NonNullable<RelaySettings['exactlyOnce']>
  }
  readonly routes: readonly Route[]
  readonly logger: RelayLogger
  readonly observer: RelayObserver
  readonly clock: Clock
  readonly events: DestinationEvents & {
    /** Another relay writes under our id: let go of the slot. */
    onFenced(error: FencedByOtherRelayError): void
    onHalt(error: RelayHaltError): void
  }
  /** Whether the slot is ours now; nothing is written until it is. */
  readonly hold: { readonly mayProduce: boolean; whenMayProduce(): Promise<void> }
  /** Resolves after `ms`; for tests. */
  readonly delay?: (ms: number) => Promise<void>
}

export class ExactlyOnce implements Destination {
  readonly #options: ExactlyOnceOptions
  readonly #route: (prefix: string, aggregateType: string, eventType: string) => Target
  readonly #planner: TransactionPlanner
  readonly #said = new Map<string, number>()
  readonly #waking = new Set<() => void>()
  /** The connection whose entries are in the queue; a new object for each. */
  #stream: StreamStart | undefined
  /** We have fenced since the stream started and since the last fault, and know the position. */
  #ready = false
  #position: Position | undefined
  /** Nothing beyond it can have been written: the WAL's end when the stream started, or what was tried since. */
  #endLsn: Lsn = ZERO_LSN
  #queue: Planned[] = []
  /** Most facts of the next transaction: halved to find the record at fault. */
  #most: number = TRANSACTION_LIMITS.facts
  #running = false
  #closed = false
  #troubleSinceMs: number | undefined
  #reason = 'no answer from the brokers yet'

  constructor(options: ExactlyOnceOptions) {
    this.#options = options
    this.#route = createRouter(options.routes)
    this.#planner = new TransactionPlanner(options)
  }

  started(stream: StreamStart): void {
    this.#stream = stream
    this.#endLsn = stream.walEndLsn
    this.#ready = false
    this.#wake()
  }

  push(entry: Entry): void {
    const { deadLetter } = entry
    const topic = this.#route(entry.prefix, entry.aggregateType, entry.eventType).topic as string
    if (deadLetter) this.#queue.push(this.#toDeadLetter(entry, deadLetter))
    else if (this.#takesCause('invalid_topic') && !isTopicName(topic))
      this.#queue.push(this.#toDeadLetter(entry, invalidTopicNote(topic)))
    else this.#queue.push({ topic, entries: [entry] })
    this.#wake()
  }

  dropUnsent(): void {
    this.#stream = undefined
    const dropped = this.#queue
    this.#queue = []
    this.#drop(dropped)
  }

  /** What does not get through, and since when; undefined when all goes well. */
  oldestTrouble(): { readonly sinceMs: number; readonly reason: string } | undefined {
    if (this.#troubleSinceMs === undefined) return undefined
    return { sinceMs: this.#troubleSinceMs, reason: this.#reason }
  }

  /** One queue for all. */
  laneCounts(): { readonly open: number; readonly busy: number } {
    return { open: 1, busy: this.#queue.length > 0 ? 1 : 0 }
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const wake of this.#waking) wake()
    await this.#options.sink.close()
  }

  #wake(): void {
    if (this.#running || this.#closed) return
    this.#running = true
    // A microtask later: the facts of the same socket chunk leave in one transaction.
    queueMicrotask(() => void this.#run())
  }

  async #run(): Promise<void> {
    const { hold } = this.#options
    let attempt = 1
    while (!this.#closed && this.#stream && (!this.#ready || this.#queue.length > 0)) {
      const stream = this.#stream
      if (!hold.mayProduce) {
        await hold.whenMayProduce()
        if (!hold.mayProduce) await this.#delay(HOLD_MS)
        continue
      }
      this.#troubleSinceMs ??= this.#options.clock.nowMs()
      const batch = this.#ready ? this.#take(stream) : []
      const fault = await (this.#ready ? this.#produce(stream, batch) : this.#prepare(stream))
      if (fault === undefined) {
        attempt = 1
        this.#troubleSinceMs = undefined
      } else await this.#onFault(stream, batch, fault, attempt++)
    }
    this.#troubleSinceMs = undefined
    this.#running = false
  }

  /** Fences, then reads the position. */
  async #prepare(stream: StreamStart): Promise<unknown> {
    const { sink, settings, logger } = this.#options
    const key = positionKey(stream.systemId, settings.slot)
    try {
      await sink.fence(`factlib-${stream.systemId}-${settings.slot}`)
      const stored = decodePosition(await this.#readPosition(key))
      const position = judgePosition(stored, { timeline: stream.timeline, endLsn: this.#endLsn }, settings.acceptGap)
      if (this.#stream !== stream) return undefined
      if (stored !== undefined && position === undefined)
        logger.warn(
          { key, timeline: stored.timeline, now: stream.timeline },
          'the position in Kafka is of another timeline or was given up: facts that the slot brings again are written again',
        )
      this.#position = position
      this.#ready = true
      logger.info(
        { key, lsn: position && formatLsn(position.lsn), index: position?.index },
        'writing in transactions; what is at or below this position is in Kafka already',
      )
      return undefined
    } catch (error) {
      return error
    }
  }

  /** "Missing" is never taken for "no position yet": only a topic that was read to its end says that. */
  async #readPosition(key: string): Promise<Buffer | undefined> {
    const { sink, settings, logger } = this.#options
    const { topic } = settings.exactlyOnce
    try {
      return await sink.readLast(topic, key)
    } catch (error) {
      if ((error as SinkFault).kind !== 'topicMissing') throw error
      const create = settings.kafka.createTopics
      if (!create)
        throw new SinkError(
          'topicMissing',
          'UNKNOWN_TOPIC_OR_PARTITION',
          `topic "${topic}" (EXACTLY_ONCE_TOPIC) does not exist: it needs one partition and cleanup.policy=compact`,
        )
      await sink.createTopic(topic, 1, create.replicationFactor, POSITION_TOPIC)
      logger.info({ topic }, 'created the topic of positions')
      return sink.readLast(topic, key)
    }
  }

  /** From the queue, in order, what is not in Kafka yet. */
  #take(stream: StreamStart): Planned[] {
    let known = 0
    while (known < this.#queue.length && this.#isKnown(this.#queue[known] as Planned, stream)) known++
    if (known > 0) {
      const done = this.#queue.splice(0, known)
      this.#options.logger.info({ facts: done.length }, 'passed over facts that are in Kafka already')
      this.#options.events.onDone(done.flatMap(({ entries }) => entries))
    }
    let count = 0
    let bytes = 0
    for (const planned of this.#queue) {
      // The first one always goes, however large: the broker is the judge of that.
      if (count > 0 && (count >= this.#most || bytes > TRANSACTION_LIMITS.bytes)) break
      count++
      for (const entry of planned.entries) bytes += entry.bytes
    }
    return this.#queue.splice(0, count)
  }

  #isKnown({ entries }: Planned, { timeline }: StreamStart): boolean {
    return isAtOrBelow(entries[0] as Entry, timeline, this.#position)
  }

  async #produce(stream: StreamStart, batch: Planned[]): Promise<unknown> {
    if (batch.length === 0) return undefined
    const { sink, settings, clock, observer, events } = this.#options
    const startedMs = clock.nowMs()
    const position = positionOf((batch.at(-1) as Planned).entries[0] as Entry, stream.timeline)
    let sends: TransactionalSend[]
    try {
      sends = await this.#planner.plan(batch)
    } catch (error) {
      return error // Nothing was begun.
    }
    // Looking up partitions takes time, in which the slot may have been lost.
    if (this.#stream !== stream) return new SinkError('retry', 'STREAM_LOST', 'the connection to PostgreSQL is gone')
    if (position.lsn > this.#endLsn) this.#endLsn = position.lsn
    try {
      const key = positionKey(stream.systemId, settings.slot)
      const record = {
        key: Buffer.from(key),
        value: encodePosition(position, stream.systemId, settings.slot),
        headers: {},
        timestampMs: Date.now(),
      }
      await sink.commit([...sends, { topic: settings.exactlyOnce.topic, partition: 0, records: [record] }])
    } catch (error) {
      this.#ready = false
      return error
    }
    this.#position = position
    this.#most = Math.min(this.#most * 2, TRANSACTION_LIMITS.facts)
    const seconds = (clock.nowMs() - startedMs) / 1000
    for (const [topic, count] of countByTopic(batch)) observer.produced(topic, count, seconds)
    const entries = batch.flatMap((planned) => planned.entries)
    for (const entry of entries)
      observer.handled(entry.aggregateType, entry.eventType, (clock.nowMs() - entry.receivedAtMs) / 1000)
    events.onDone(entries)
    return undefined
  }

  async #onFault(stream: StreamStart, batch: Planned[], error: unknown, attempt: number): Promise<void> {
    const { events, observer, settings } = this.#options
    this.#planner.forget()
    if (this.#stream !== stream) return this.#drop(batch)
    this.#queue = [...batch, ...this.#queue]
    if (error instanceof FencedError || error instanceof RelayHaltError) {
      // Nothing more is written for this stream.
      this.#stream = undefined
      if (error instanceof RelayHaltError) events.onHalt(error)
      else events.onFenced(new FencedByOtherRelayError(settings.slot, { cause: error }))
      return
    }
    const fault = error as SinkFault
    const decision = decideSinkFault(fault, attempt)
    this.#reason = `${decision.hint}: ${fault.message}`
    observer.produceFailed(batch[0]?.topic ?? settings.exactlyOnce.topic, fault.type)
    this.#say(fault, decision)
    if (decision.action === 'isolate' && batch.length > 1) {
      this.#most = Math.max(1, batch.length >> 1)
      return
    }
    if (decision.action === 'isolate' && this.#giveUp(batch[0] as Planned, fault, attempt)) return
    await this.#delay(decision.delayMs)
  }

  /** The record at fault, alone, becomes a dead letter in its place of the queue; false: it holds everything. */
  #giveUp({ topic, entries }: Planned, fault: SinkFault, attempts: number): boolean {
    const [entry] = entries as [Entry]
    const cause = causeOfFault(fault)
    if (topic === this.#options.settings.deadLetter?.topic || !this.#takesCause(cause)) return false
    this.#queue[0] = this.#toDeadLetter(entry, { cause, detail: fault.message, topic, attempts })
    return true
  }

  #takesCause(cause: DeadLetterNote['cause']): boolean {
    return this.#options.settings.deadLetter?.causes.includes(cause) ?? false
  }

  #toDeadLetter(entry: Entry, note: DeadLetterNote): Planned {
    const { settings, events, logger, observer } = this.#options
    const { topic } = settings.deadLetter as NonNullable<RelaySettings['deadLetter']>
    const letters = toDeadLetters(entry, note, deadLetterPartBytes(entry, settings.sendBytes))
    events.onReplaced(entry, letters)
    observer.deadLettered?.(note.cause, note.topic)
    logger.warn(
      { cause: note.cause, id: entry.id, lsn: formatLsn(entry.messageLsn), topic: note.topic, parts: letters.length },
      `dead letter: ${note.detail}`,
    )
    return { topic, entries: letters }
  }

  #drop(dropped: readonly Planned[]): void {
    if (dropped.length > 0) this.#options.events.onDropped(dropped.flatMap(({ entries }) => entries))
  }

  #say(fault: SinkFault, decision: SinkDecision): void {
    const nowMs = this.#options.clock.nowMs()
    const last = this.#said.get(fault.type)
    if (last !== undefined && nowMs - last < SAY_AGAIN_MS) return
    this.#said.set(fault.type, nowMs)
    this.#options.logger.warn({ type: fault.type }, `${decision.hint}: ${fault.message}`)
  }

  #delay(ms: number): Promise<void> {
    if (this.#closed || ms <= 0) return Promise.resolve()
    if (this.#options.delay) return this.#options.delay(ms)
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        this.#waking.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, ms)
      this.#waking.add(wake)
    })
  }
}

function countByTopic(batch: readonly Planned[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const { topic, entries } of batch) counts.set(topic, (counts.get(topic) ?? 0) + entries.length)
  return counts
}
