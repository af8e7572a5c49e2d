import type { Destination, DestinationEvents, Entry } from './entry.ts'
import { HandlerLanes } from './handler-lanes.ts'
import { type LaneDeps, type LaneTrouble, TopicLanes } from './lanes.ts'
import type { Clock, SinkDecision, SinkFault } from './policy.ts'
import { createRouter, type Target } from './router.ts'
import type { Sink, SinkRecord } from './sink/sink.ts'
import { SinkGate } from './sink/sink-gate.ts'
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
      partitionCount: (topic) => options.sink.partitionCount(topic),
      onDone: (batch) => options.events.onDone(batch),
      onFault: (topic, partition, fault, decision) => this.#onFault(topic, partition, fault, decision),
    }
    this.#refreshTimer = setInterval(() => {
      for (const topic of this.#topics.values()) void topic.refresh()
    }, REFRESH_MS).unref()
  }

  push(entry: Entry): void {
    const target = this.#route(entry.prefix, entry.aggregateType, entry.eventType)
    if (target.handle) this.#handlerLanes(target.handle).push(entry)
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
    const { observer, clock, hold } = this.#options
    if (!hold.mayProduce) await hold.whenMayProduce()
    const timestampMs = Date.now()
    const records: SinkRecord[] = batch.map(({ key, value, headers }) => ({ key, value, headers, timestampMs }))
    const startedMs = clock.nowMs()
    await this.#gate.send(topic, partition, records)
    const nowMs = clock.nowMs()
    observer.produced(topic, batch.length, (nowMs - startedMs) / 1000)
    for (const entry of batch)
      observer.handled(entry.aggregateType, entry.eventType, (nowMs - entry.receivedAtMs) / 1000)
  }

  #onFault(topic: string, partition: number | undefined, fault: SinkFault, decision: SinkDecision): void {
    const { observer, logger, settings, sink } = this.#options
    observer.produceFailed(topic, fault.type)
    if (decision.action === 'renew') void this.#gate.renew()
    const create = settings.kafka.createTopics
    if (fault.kind === 'topicMissing' && partition === undefined && create)
      sink.createTopic(topic, create.partitions, create.replicationFactor).then(
        () => logger.info({ topic, ...create }, 'created the topic'),
        (error: Error) => this.#say(`create ${topic}`, { topic }, error.message),
      )
    this.#say(
      `${topic}/${partition} ${fault.type}`,
      { topic, partition, type: fault.type },
      `${decision.hint}: ${fault.message}`,
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
      lanes = new TopicLanes(topic, this.#laneDeps)
      this.#topics.set(topic, lanes)
    }
    return lanes
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
  readonly settings: Pick<RelaySettings, 'sendRecords' | 'sendBytes' | 'kafka'>
  readonly routes: readonly Route[]
  readonly logger: RelayLogger
  readonly observer: RelayObserver
  readonly clock: Clock
  readonly events: DestinationEvents
  /** Whether the slot is ours now; a batch waits until it is. */
  readonly hold: { readonly mayProduce: boolean; whenMayProduce(): Promise<void> }
}

function place(trouble: LaneTrouble): string {
  return trouble.partition === undefined ? `topic ${trouble.topic}` : `${trouble.topic}/${trouble.partition}`
}
