import { isTopicName } from './config/routes.ts'
import {
  BlockedKeys,
  causeOfFault,
  type DeadLetterNote,
  deadLetterPartBytes,
  invalidTopicNote,
  toDeadLetters,
} from './dead-letter.ts'
import type { Destination, DestinationEvents, Entry, SlotStart } from './entry.ts'
import { HandlerLanes } from './handler-lanes.ts'
import { type LaneDeps, type LaneTrouble, TopicLanes } from './lanes.ts'
import { formatLsn, type Lsn, ZERO_LSN } from './lsn.ts'
import { backoffMs, type Clock, type SinkDecision, type SinkFault } from './policy.ts'
import { createRouter, type Target } from './router.ts'
import { HELD_BACK, type Sink } from './sink/sink.ts'
import { SinkGate } from './sink/sink-gate.ts'
import { sayCreated } from './topic-creation.ts'
import type { RelayLogger, RelayObserver, RelaySettings, Route } from './types.ts'

/** How often a topic's partition count is looked at, milliseconds. */
const REFRESH_MS = 30_000
/** A fault that goes on is said again this often, milliseconds. */
const SAY_AGAIN_MS = 30_000

/**
 * From entries to durable records: routes each to its topic's lanes or to a user's handler, and keeps the one producer.
 */
export class Delivery implements Destination {
  readonly #options: DeliveryOptions
  readonly #route: (prefix: string, aggregateType: string, eventType: string) => Target
  readonly #gate: SinkGate
  readonly #topics = new Map<string, TopicLanes>()
  readonly #handlers = new Map<NonNullable<Target['handle']>, HandlerLanes>()
  readonly #said = new Map<string, number>()
  readonly #waking = new Set<() => void>()
  readonly #laneDeps: LaneDeps
  readonly #refreshTimer: NodeJS.Timeout
  readonly #blocked = new BlockedKeys()
  /** Until the blocked keys are known no fact may be taken for a request. */
  #ready: Promise<void> | undefined
  /** Where the slot stood when the present stream, or the last one, started. */
  #startLsn: Lsn = ZERO_LSN
  /** What is left of a batch that another relay has confirmed in part, in records. */
  readonly #leftOf = new WeakMap<readonly Entry[], number>()
  #closed = false

  constructor(options: DeliveryOptions) {
    this.#options = options
    this.#route = createRouter(options.routes)
    const delay = (ms: number) => this.#delay(ms)
    this.#gate = new SinkGate(options.sink, { delay })
    this.#laneDeps = {
      limits: { records: options.settings.sendRecords, bytes: options.settings.sendBytes },
      clock: options.clock,
      delay,
      send: (topic, partition, batch) => this.#send(topic, partition, batch),
      whenWritable: (topic, partition) => options.sink.whenWritable?.(topic, partition),
      partitionCount: (topic) => options.sink.partitionCount(topic),
      onDone: (batch) => options.events.onDone(batch),
      renew: () => void this.#gate.renew(),
      onFault: (topic, partition, fault, decision) => this.#onFault(topic, partition, fault, decision),
    }
    this.#refreshTimer = setInterval(() => {
      for (const topic of this.#topics.values()) void topic.refresh()
    }, REFRESH_MS).unref()
  }

  started({ startLsn }: SlotStart): void {
    this.#startLsn = startLsn
    if (this.#options.settings.deadLetter?.keys !== 'block-key') return
    // Each time: the relay that had the slot meanwhile may have blocked keys, and an operator resolved some.
    const ready = (this.#ready ?? Promise.resolve())
      .then(() => this.#restoreBlocked())
      .then(() => {
        if (this.#ready === ready) this.#ready = undefined
      })
    this.#ready = ready
  }

  push(entry: Entry): void {
    const target = this.#route(entry.prefix, entry.aggregateType, entry.eventType)
    if (entry.deadLetter) this.#toDeadLetter(entry, entry.deadLetter)
    else if (target.handle) this.#handlerLanes(target.handle).push(entry)
    else if (this.#takesCause('invalid_topic') && !isTopicName(target.topic))
      this.#toDeadLetter(entry, invalidTopicNote(target.topic))
    else this.#topicLanes(target.topic).push(entry)
  }

  dropUnsent(): void {
    const dropped = [...this.#topics.values()].flatMap((topic) => topic.dropUnsent())
    if (dropped.length > 0) this.#options.events.onDropped(dropped)
    for (const lanes of this.#handlers.values()) lanes.dropUnsent()
  }

  /** The oldest thing that does not get through; undefined when all goes well. */
  oldestTrouble(): { readonly sinceMs: number; readonly reason: string } | undefined {
    let oldest: { sinceMs: number; reason: string } | undefined
    for (const topic of this.#topics.values())
      for (const trouble of topic.troubles())
        if (oldest === undefined || trouble.sinceMs < oldest.sinceMs)
          oldest = { sinceMs: trouble.sinceMs, reason: `${place(trouble)}: ${trouble.reason}` }
    for (const lanes of this.#handlers.values()) {
      const sinceMs = lanes.failingSinceMs
      if (sinceMs !== undefined && (oldest === undefined || sinceMs < oldest.sinceMs))
        oldest = { sinceMs, reason: 'a handler of a route keeps failing' }
    }
    return oldest
  }

  /** Queues of topic-partitions, and those that have something to send. */
  laneCounts(): { readonly open: number; readonly busy: number } {
    let [open, busy] = [0, 0]
    for (const topic of this.#topics.values()) {
      open += topic.laneCount
      busy += topic.busyCount
    }
    return { open, busy }
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#refreshTimer)
    this.#gate.close()
    for (const topic of this.#topics.values()) topic.close()
    for (const lanes of this.#handlers.values()) lanes.close()
    for (const wake of this.#waking) wake()
    await this.#options.sink.close()
  }

  async #send(topic: string, partition: number, batch: readonly Entry[]): Promise<void> {
    const { hold } = this.#options
    // Each wait may be as long as an outage, and the slot may go to another relay and come back meanwhile: all of it is
    // looked at again after each, and nothing is waited for between the last look and the request. Where the sink itself lets
    // a batch wait, it looks again.
    for (;;) {
      if (!hold.mayProduce) {
        await hold.whenMayProduce()
        // The relay stops without the slot. Another one may have it, and these facts: for ever is not too long to wait.
        if (!hold.mayProduce) return new Promise(() => {})
      }
      if (this.#gate.renewing) {
        await this.#gate.renewing
        continue
      }
      const left = this.#unconfirmed(batch)
      if (left.length !== (this.#leftOf.get(batch) ?? batch.length)) {
        // Whether what is left was written before is not known, so only a new producer may write it.
        this.#leftOf.set(batch, left.length)
        void this.#gate.renew()
        continue
      }
      if (left.length === 0) return
      const startLsn = this.#startLsn
      try {
        return await this.#produce(topic, partition, left, () => hold.mayProduce && this.#startLsn === startLsn)
      } catch (error) {
        if ((error as SinkFault).type !== HELD_BACK) throw error
      }
    }
  }

  async #produce(topic: string, partition: number, batch: readonly Entry[], mayLeave: () => boolean): Promise<void> {
    const { observer, clock } = this.#options
    const timestampMs = Date.now()
    for (const entry of batch) entry.timestampMs = timestampMs
    const startedMs = clock.nowMs()
    // An entry is its own record.
    await this.#gate.send(topic, partition, batch, mayLeave)
    const nowMs = clock.nowMs()
    observer.produced(topic, batch.length, (nowMs - startedMs) / 1000)
    for (const entry of batch)
      observer.handled(entry.aggregateType, entry.eventType, (nowMs - entry.receivedAtMs) / 1000)
  }

  /** A batch without what another relay has produced and confirmed while it was in our hands: sent now, it would come behind what is newer. */
  #unconfirmed(batch: readonly Entry[]): readonly Entry[] {
    const startLsn = this.#startLsn
    if (!batch.some((entry) => isBefore(entry, startLsn))) return batch
    return batch.filter((entry) => !isBefore(entry, startLsn))
  }

  #onFault(topic: string, partition: number | undefined, fault: SinkFault, decision: SinkDecision): void {
    const { observer, logger, settings, sink } = this.#options
    observer.produceFailed(topic, fault.type)
    if (decision.action === 'renew') void this.#gate.renew()
    const create = settings.kafka.createTopics
    // Lanes whose topic is gone give way to a look-up, and so come here, too.
    const creates = fault.kind === 'topicMissing' && partition === undefined && create !== undefined
    if (creates)
      sink.createTopic(topic, create.partitions, create.replicationFactor).then(
        () => sayCreated(logger, topic, settings.kafka),
        (error: Error) => this.#say(`create ${topic}`, { topic }, error.message),
      )
    this.#say(
      `${topic}/${partition} ${fault.type}`,
      { topic, partition, type: fault.type },
      `${creates ? 'the topic does not exist; it is being created' : decision.hint}: ${fault.message}`,
    )
  }

  /** One line for a fault that repeats many times a second on many lanes. */
  #say(key: string, fields: object, message: string): void {
    const nowMs = this.#options.clock.nowMs()
    const last = this.#said.get(key)
    if (last !== undefined && nowMs - last < SAY_AGAIN_MS) return
    if (this.#said.size > 1_000) this.#said.clear()
    this.#said.set(key, nowMs)
    this.#options.logger.warn(fields, message)
  }

  #topicLanes(topic: string): TopicLanes {
    let lanes = this.#topics.get(topic)
    if (!lanes) {
      // The dead-letter topic's own lanes hold what is refused: there is nowhere further down.
      lanes = new TopicLanes(
        topic,
        topic === this.#options.settings.deadLetter?.topic ? this.#laneDeps : this.#factLaneDeps(),
      )
      this.#topics.set(topic, lanes)
    }
    return lanes
  }

  #factLaneDeps(): LaneDeps {
    const { deadLetter } = this.#options.settings
    if (!deadLetter) return this.#laneDeps
    return {
      ...this.#laneDeps,
      deadLetter: (topic, entry, fault, attempts) => {
        const cause = causeOfFault(fault)
        if (!this.#takesCause(cause)) return false
        this.#toDeadLetter(entry, { cause, detail: fault.message, topic, attempts })
        return true
      },
      ...(deadLetter.keys === 'block-key' && {
        whenReady: async () => {
          while (this.#ready) await this.#ready
        },
        divert: (topic: string, entry: Entry) => {
          if (!this.#blocked.isBlocked(topic, entry.key)) return false
          const detail = 'an earlier fact of this key is a dead letter'
          this.#toDeadLetter(entry, { cause: 'key_blocked', detail, topic, attempts: 0 })
          return true
        },
      }),
    }
  }

  #takesCause(cause: DeadLetterNote['cause']): boolean {
    return this.#options.settings.deadLetter?.causes.includes(cause) ?? false
  }

  #toDeadLetter(entry: Entry, note: DeadLetterNote): void {
    const { settings, events, logger, observer } = this.#options
    const { topic, keys } = settings.deadLetter as NonNullable<RelaySettings['deadLetter']>
    if (keys === 'block-key' && note.cause !== 'malformed') this.#blocked.block(note.topic, entry.key, entry.id)
    const letters = toDeadLetters(entry, note, deadLetterPartBytes(entry, settings.sendBytes))
    events.onReplaced(entry, letters)
    observer.deadLettered?.(note.cause, note.topic)
    logger.warn(
      { cause: note.cause, id: entry.id, lsn: formatLsn(entry.messageLsn), topic: note.topic, parts: letters.length },
      `dead letter: ${note.detail}`,
    )
    const lanes = this.#topicLanes(topic)
    for (const letter of letters) lanes.push(letter)
  }

  /** Reads the dead-letter topic from its beginning; goes on trying, because an opened key cannot be closed again. */
  async #restoreBlocked(): Promise<void> {
    const { sink, settings, logger } = this.#options
    const { topic } = settings.deadLetter as NonNullable<RelaySettings['deadLetter']>
    for (let attempt = 1; !this.#closed; attempt++) {
      try {
        await sink.readAll?.(topic, (record) => this.#blocked.restore(record))
        break
      } catch (error) {
        if ((error as SinkFault).kind === 'topicMissing') break
        this.#say('blocked keys', { topic }, `the blocked keys could not be read back yet: ${(error as Error).message}`)
        await this.#delay(backoffMs(attempt))
      }
    }
    logger.info({ topic }, 'read back which keys are blocked by dead letters')
  }

  #handlerLanes(handle: NonNullable<Target['handle']>): HandlerLanes {
    let lanes = this.#handlers.get(handle)
    if (!lanes) {
      const { events, clock, observer } = this.#options
      lanes = new HandlerLanes({
        handle,
        events: {
          onDropped: (entries) => events.onDropped(entries),
          onDone: (entries) => {
            for (const entry of entries)
              observer.handled(entry.aggregateType, entry.eventType, (clock.nowMs() - entry.receivedAtMs) / 1000)
            events.onDone(entries)
          },
        },
        clock,
        delay: (ms) => this.#delay(ms),
        onFailure: (entry, error, attempt) => {
          observer.handlerFailed(entry.aggregateType, entry.eventType)
          this.#say(
            `handler ${entry.aggregateType} ${entry.eventType}`,
            { aggregateType: entry.aggregateType, eventType: entry.eventType, attempt },
            `the handler of a route failed; the same fact is handed to it again: ${(error as Error)?.message ?? String(error)}`,
          )
        },
      })
      this.#handlers.set(handle, lanes)
    }
    return lanes
  }

  #delay(ms: number): Promise<void> {
    if (this.#closed || ms <= 0) return Promise.resolve()
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

export interface DeliveryOptions {
  readonly sink: Sink
  readonly settings: Pick<RelaySettings, 'sendRecords' | 'sendBytes' | 'kafka' | 'deadLetter'>
  readonly routes: readonly Route[]
  readonly logger: RelayLogger
  readonly observer: RelayObserver
  readonly clock: Clock
  readonly events: DestinationEvents
  /** Whether the slot is ours now; a batch waits until it is. */
  readonly hold: { readonly mayProduce: boolean; whenMayProduce(): Promise<void> }
}

/** Whether a fact's transaction, or the non-transactional fact, ends at or before a position that a slot was confirmed to. */
function isBefore({ transactional, unitLsn }: Entry, confirmedLsn: Lsn): boolean {
  // A transaction's unitLsn is where its commit record begins, which lies before the end that is confirmed.
  return transactional ? unitLsn < confirmedLsn : unitLsn <= confirmedLsn
}

function place(trouble: LaneTrouble): string {
  return trouble.partition === undefined ? `topic ${trouble.topic}` : `${trouble.topic}/${trouble.partition}`
}
