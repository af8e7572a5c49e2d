import { decodeFact } from '../src/envelope/decode.ts'
import type { Destination, DestinationEvents, Entry } from './entry.ts'
import { formatLsn } from './lsn.ts'
import { backoffMs, type Clock } from './policy.ts'
import type { ReceivedFact, Route } from './types.ts'

type Handler = NonNullable<Extract<Route, { handle: unknown }>['handle']>

/** What a handler or a subscriber gets of an entry. */
export function toReceivedFact(entry: Entry): ReceivedFact {
  return {
    fact: decodeFact(entry.value, { prefix: entry.prefix }),
    prefix: entry.prefix,
    lsn: formatLsn(entry.messageLsn),
    transactional: entry.transactional,
    commitTimeMicros: entry.commitTimeMicros,
    value: entry.value,
  }
}

interface KeyQueue {
  readonly key: string
  readonly entries: Entry[]
  /** Failures in a row of the first entry. */
  attempts: number
}

/**
 * Facts for the user's own handler: one at a time for each aggregate, in order, at most `concurrency` aggregates at once;
 * the same fact again with backoff, for ever, while the handler throws.
 */
export class HandlerLanes implements Destination {
  readonly #handle: Handler
  readonly #events: Pick<DestinationEvents, 'onDone' | 'onDropped'>
  readonly #clock: Clock
  readonly #delay: (ms: number) => Promise<void>
  readonly #onFailure: (entry: Entry, error: unknown, attempt: number) => void
  readonly #concurrency: number
  /** One queue an aggregate that has something to do; its first entry may be running. */
  readonly #queues = new Map<string, KeyQueue>()
  /** Aggregates that wait for a free place, in turn. */
  #ready: KeyQueue[] = []
  /** Aggregates whose first fact failed and waits to be tried again. */
  readonly #parked = new Set<KeyQueue>()
  #running = 0
  #closed = false
  /** Facts in a handler's hand whose connection is gone: they come again, here or at the relay that has the slot then. */
  readonly #stale = new Set<Entry>()
  /** Facts whose handler failed, since when; the oldest is the first. */
  readonly #failing = new Map<Entry, number>()

  constructor(options: {
    readonly handle: Handler
    readonly events: Pick<DestinationEvents, 'onDone' | 'onDropped'>
    readonly clock: Clock
    /** Resolves after `ms`, or at once when the relay stops. */
    readonly delay: (ms: number) => Promise<void>
    readonly onFailure: (entry: Entry, error: unknown, attempt: number) => void
    /** Default 64. */
    readonly concurrency?: number
  }) {
    this.#handle = options.handle
    this.#events = options.events
    this.#clock = options.clock
    this.#delay = options.delay
    this.#onFailure = options.onFailure
    this.#concurrency = options.concurrency ?? 64
  }

  /** Since when the oldest fact that does not get through has been failing, monotonic milliseconds; undefined while none is. */
  get failingSinceMs(): number | undefined {
    const [oldest] = this.#failing.values()
    return oldest
  }

  push(entry: Entry): void {
    const key = keyOf(entry)
    const queue = this.#queues.get(key)
    if (queue) {
      queue.entries.push(entry)
      return
    }
    const fresh: KeyQueue = { key, entries: [entry], attempts: 0 }
    this.#queues.set(key, fresh)
    if (this.#running < this.#concurrency) void this.#work(fresh)
    else this.#ready.push(fresh)
  }

  dropUnsent(): void {
    const dropped: Entry[] = []
    const idle = new Set([...this.#ready, ...this.#parked])
    this.#ready = []
    this.#parked.clear()
    for (const [key, queue] of this.#queues) {
      // What a handler has in hand goes on: its aggregate's next fact waits for it also after a reconnect.
      dropped.push(...queue.entries.splice(idle.has(queue) ? 0 : 1))
      if (idle.has(queue)) this.#queues.delete(key)
      else this.#stale.add(queue.entries[0] as Entry)
    }
    for (const entry of dropped) this.#failing.delete(entry)
    if (dropped.length > 0) this.#events.onDropped(dropped)
  }

  close(): void {
    this.#closed = true
  }

  async #work(first: KeyQueue): Promise<void> {
    this.#running++
    let queue: KeyQueue | undefined = first
    // A turn later: the caller registers the whole chunk first, and a handler never runs inside a socket callback.
    await Promise.resolve()
    while (queue && !this.#closed) {
      const entry = queue.entries[0] as Entry
      const succeeded = await this.#tryOnce(queue, entry)
      if (this.#stale.delete(entry) || succeeded) {
        if (succeeded) this.#events.onDone([entry])
        else {
          // Not again by us: it might come behind what another relay has handed on since.
          queue.attempts = 0
          this.#failing.delete(entry)
          this.#events.onDropped([entry])
        }
        queue.entries.shift()
        // Behind those that wait: an aggregate that never runs out of facts must not starve the others.
        if (queue.entries.length > 0) this.#ready.push(queue)
        else this.#queues.delete(queue.key)
      } else void this.#park(queue)
      queue = this.#ready.shift()
    }
    this.#running--
  }

  async #tryOnce(queue: KeyQueue, entry: Entry): Promise<boolean> {
    try {
      await this.#handle(toReceivedFact(entry))
      this.#failing.delete(entry)
      queue.attempts = 0
      return true
    } catch (error) {
      queue.attempts++
      if (!this.#failing.has(entry)) this.#failing.set(entry, this.#clock.nowMs())
      this.#onFailure(entry, error, queue.attempts)
      return false
    }
  }

  /** Backs off outside of a place: poisoned aggregates, however many, must not keep the sound ones from theirs. */
  async #park(queue: KeyQueue): Promise<void> {
    this.#parked.add(queue)
    await this.#delay(backoffMs(queue.attempts, 100, 10_000))
    // False: forgotten meanwhile, with its connection.
    if (!this.#parked.delete(queue) || this.#closed) return
    if (this.#running < this.#concurrency) void this.#work(queue)
    else this.#ready.push(queue)
  }
}

function keyOf(entry: Entry): string {
  return `${entry.prefix}\0${entry.aggregateType}\0${entry.key.toString('latin1')}`
}
