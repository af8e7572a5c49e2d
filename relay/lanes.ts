import type { Entry } from './entry.ts'
import { type Clock, decideSinkFault, type SinkDecision, type SinkFault } from './policy.ts'
import { SinkError, UNKNOWN_PARTITION } from './sink/sink.ts'

// One topic, from entries to durable records:
//
//   push ─▶ waiting (partition count not known, or changing) ─▶ Lane 0 … Lane n-1 ─▶ deps.send
//
// A count that grew takes effect when the lanes have drained. Where partitions are gone, or all of the topic, the lanes only let
// their requests settle, and what they have left waits for the new ones.
//
// A lane is the ordered queue of one topic-partition with at most one request in flight. A batch that fails is kept and
// sent again exactly as it was (the broker recognises it by its sequence), so order holds and nothing is written twice.
// Nothing waits for a timer on the way: a free lane sends what it has, a busy one collects.

export interface LaneDeps {
  readonly limits: { readonly records: number; readonly bytes: number }
  readonly clock: Clock
  /** Produces one batch; rejects with a SinkFault. Holds while the producer is being renewed. */
  send(topic: string, partition: number, batch: readonly Entry[]): Promise<void>
  /** Resolves when a batch would leave soon: until then the lane goes on collecting. Absent or undefined: now. */
  whenWritable?(topic: string, partition: number): Promise<void> | undefined
  /** Fresh partition count; rejects with a SinkFault. */
  partitionCount(topic: string): Promise<number>
  onDone(batch: readonly Entry[]): void
  onFault(topic: string, partition: number | undefined, fault: SinkFault, decision: SinkDecision): void
  /** Asks for a new producer; from now on `send` holds until there is one. */
  renew(): void
  /** Resolves after `ms`, or at once when the lanes are closed. */
  delay(ms: number): Promise<void>
  /** Takes a record that can never be produced out of the lane's hands; false: hold it. Absent: hold. */
  deadLetter?(topic: string, entry: Entry, fault: SinkFault, attempts: number): boolean
  /** Resolves when `divert` knows what is blocked. Absent: it does. */
  whenReady?(): Promise<void>
  /** Takes a fact whose key is blocked by an earlier dead letter; false: it is not blocked. */
  divert?(topic: string, entry: Entry): boolean
}

interface LaneHooks extends LaneDeps {
  /** A lane has nothing under way any more, whatever became of what it had. */
  onIdle(): void
}

/** Why facts of a topic do not get through, for health and logs. */
export interface LaneTrouble {
  readonly topic: string
  readonly partition: number | undefined
  readonly sinceMs: number
  readonly reason: string
}

export class Lane {
  readonly #topic: string
  readonly #partition: number
  readonly #deps: LaneHooks
  #queue: Entry[] = []
  #batch: readonly Entry[] | undefined
  #running = false
  #scheduled = false
  #closed = false
  #retired = false
  /** This many records go one at a time, to find the one at fault. */
  #singles = 0
  /** When the batch in flight was first sent; undefined while none is. */
  #sendingSinceMs: number | undefined
  #reason = 'no answer from the broker yet'

  constructor(topic: string, partition: number, deps: LaneHooks) {
    this.#topic = topic
    this.#partition = partition
    this.#deps = deps
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0 && this.#batch === undefined
  }

  /** Whether other lanes may take over: nothing of it is under way, and nothing will be. */
  get isSettled(): boolean {
    return this.#retired ? !this.#running : this.isEmpty
  }

  get trouble(): LaneTrouble | undefined {
    if (this.#sendingSinceMs === undefined) return undefined
    return { topic: this.#topic, partition: this.#partition, sinceMs: this.#sendingSinceMs, reason: this.#reason }
  }

  push(entry: Entry): void {
    this.#queue.push(entry)
    if (this.#running || this.#scheduled) return
    // A microtask later: the facts of the same socket chunk leave in one request.
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      if (!this.#running) void this.#run()
    })
  }

  /** Forgets what no request carries yet. The batch in flight stays: its outcome must be known before what follows it. */
  dropQueued(): readonly Entry[] {
    const dropped = this.#queue
    this.#queue = []
    return dropped
  }

  /** Begins no request any more; the batch in flight ends as it does, or comes back when its partition is gone. */
  retire(): void {
    this.#retired = true
  }

  close(): void {
    this.#closed = true
  }

  get #goesOn(): boolean {
    return !this.#closed && !this.#retired
  }

  async #run(): Promise<void> {
    this.#running = true
    while (this.#goesOn && this.#queue.length > 0) {
      this.#sendingSinceMs = this.#deps.clock.nowMs()
      const writable = this.#deps.whenWritable?.(this.#topic, this.#partition)
      if (writable) await writable
      // Last: the slot may come back while a lane waits for room, and more keys may be blocked by then.
      if (this.#deps.whenReady) await this.#deps.whenReady()
      const batch = this.#goesOn ? this.#take() : []
      if (batch.length === 0) continue
      this.#batch = batch
      const durable = await this.#sendUntilDurable(batch)
      this.#batch = undefined
      this.#sendingSinceMs = undefined
      if (!durable) continue
      if (this.#singles > 0) this.#singles--
      this.#deps.onDone(batch)
    }
    this.#sendingSinceMs = undefined
    this.#running = false
    this.#deps.onIdle()
  }

  #take(): readonly Entry[] {
    const { records, bytes } = this.#deps.limits
    const most = this.#singles > 0 ? 1 : records
    let count = 0
    let size = 0
    for (const entry of this.#queue) {
      // The first one always goes, however large: the broker is the judge of that.
      if (count > 0 && (count >= most || size + entry.bytes > bytes)) break
      count++
      size += entry.bytes
    }
    const batch = this.#queue.splice(0, count)
    const { divert } = this.#deps
    if (!divert) return batch
    const kept = batch.filter((entry) => !divert(this.#topic, entry))
    if (kept.length < batch.length && this.#singles > 0) this.#singles -= batch.length - kept.length
    return kept
  }

  async #sendUntilDurable(batch: readonly Entry[]): Promise<boolean> {
    for (let attempt = 1; !this.#closed; attempt++) {
      try {
        await this.#deps.send(this.#topic, this.#partition, batch)
        return true
      } catch (error) {
        const fault = error as SinkFault
        const decision = decideSinkFault(fault, attempt)
        this.#reason = decision.hint
        this.#deps.onFault(this.#topic, this.#partition, fault, decision)
        if (decision.action === 'isolate' && batch.length > 1) {
          // Refused whole, nothing of it was written: find the record at fault by sending one at a time.
          this.#queue = [...batch, ...this.#queue]
          this.#singles = batch.length
          return false
        }
        if (decision.action === 'isolate' && this.#deps.deadLetter?.(this.#topic, batch[0] as Entry, fault, attempt)) {
          if (this.#singles > 0) this.#singles--
          return false
        }
        await this.#deps.delay(decision.delayMs)
        if (this.#retired && isGone(fault)) {
          // Whoever gives up a batch that was tried must not give its sequences to another one.
          this.#deps.renew()
          this.#queue = [...batch, ...this.#queue]
          return false
        }
      }
    }
    return false
  }
}

/** The partition is not there, and so nothing of what was in it. */
function isGone({ kind, type }: SinkFault): boolean {
  return kind === 'topicMissing' || type === UNKNOWN_PARTITION
}

export class TopicLanes {
  readonly topic: string
  readonly #deps: LaneHooks
  #lanes: Lane[] = []
  /** Entries whose partition cannot be told yet, in order. */
  #waiting: Entry[] = []
  #lookup: Promise<void> | undefined
  #lookupSinceMs: number | undefined
  #lookupReason = 'its metadata was not read yet'
  /** A count that changed; takes effect when the lanes are settled. 0: the topic is gone. */
  #nextCount: number | undefined
  #refreshing: Promise<void> | undefined
  #closed = false

  constructor(topic: string, deps: LaneDeps) {
    this.topic = topic
    this.#deps = {
      ...deps,
      onIdle: () => this.#applyCount(),
      onFault: (topic, partition, fault, decision) => {
        deps.onFault(topic, partition, fault, decision)
        if (partition !== undefined && isGone(fault)) void this.refresh()
      },
    }
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0 && this.#lanes.every((lane) => lane.isEmpty)
  }

  get laneCount(): number {
    return this.#lanes.length
  }

  get busyCount(): number {
    return this.#lanes.reduce((count, lane) => (lane.isEmpty ? count : count + 1), 0)
  }

  *troubles(): Iterable<LaneTrouble> {
    if (this.#waiting.length > 0 && this.#lookupSinceMs !== undefined)
      yield { topic: this.topic, partition: undefined, sinceMs: this.#lookupSinceMs, reason: this.#lookupReason }
    for (const lane of this.#lanes) {
      const trouble = lane.trouble
      if (trouble) yield trouble
    }
  }

  push(entry: Entry): void {
    if (this.#lanes.length === 0 || this.#nextCount !== undefined) {
      this.#waiting.push(entry)
      if (this.#lanes.length === 0) this.#lookup ??= this.#findCount()
      return
    }
    this.#toLane(entry)
  }

  dropUnsent(): readonly Entry[] {
    const dropped = [...this.#lanes.flatMap((lane) => lane.dropQueued()), ...this.#waiting]
    this.#waiting = []
    return dropped
  }

  close(): void {
    this.#closed = true
    for (const lane of this.#lanes) lane.close()
  }

  /** Looks whether the topic has another number of partitions. Its lanes settle first: a key that moves must not overtake itself. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined
    })
    return this.#refreshing
  }

  async #refresh(): Promise<void> {
    const lanes = this.#lanes
    if (lanes.length === 0 || this.#closed) return
    let count: number
    try {
      count = await this.#count()
    } catch (fault) {
      // The lanes' own sends meet the same fault and say it.
      if ((fault as SinkFault).kind !== 'topicMissing') return
      count = 0
    }
    // They have settled meanwhile, and given way to a look-up or to others: lanes opened twice would write beside each other.
    if (this.#lanes !== lanes) return
    if (count === (this.#nextCount ?? lanes.length)) return
    // Partitions that are gone: their lanes would never drain.
    if (count < lanes.length) for (const lane of lanes) lane.retire()
    this.#nextCount = count
    this.#applyCount()
  }

  #applyCount(): void {
    const count = this.#nextCount
    if (count === undefined || this.#closed || !this.#lanes.every((lane) => lane.isSettled)) return
    this.#nextCount = undefined
    // Those of one key were in one lane, so they stay in order.
    this.#waiting = [...this.#lanes.flatMap((lane) => lane.dropQueued()), ...this.#waiting]
    this.#lanes = []
    if (count > 0) this.#openLanes(count)
    else if (this.#waiting.length > 0) this.#lookup ??= this.#findCount()
  }

  async #count(): Promise<number> {
    const count = await this.#deps.partitionCount(this.topic)
    if (count > 0) return count
    throw new SinkError('retry', 'NO_PARTITIONS', `the metadata of topic "${this.topic}" names no partitions`)
  }

  async #findCount(): Promise<void> {
    this.#lookupSinceMs = this.#deps.clock.nowMs()
    for (let attempt = 1; !this.#closed; attempt++) {
      try {
        const count = await this.#count()
        this.#lookupSinceMs = undefined
        this.#lookup = undefined
        this.#openLanes(count)
        return
      } catch (error) {
        const fault = error as SinkFault
        const decision = decideSinkFault(fault, attempt)
        this.#lookupReason = decision.hint
        this.#deps.onFault(this.topic, undefined, fault, decision)
        await this.#deps.delay(decision.delayMs)
      }
    }
  }

  #openLanes(count: number): void {
    this.#lanes = Array.from({ length: count }, (_, partition) => new Lane(this.topic, partition, this.#deps))
    const waiting = this.#waiting
    this.#waiting = []
    for (const entry of waiting) this.#toLane(entry)
  }

  #toLane(entry: Entry): void {
    const lane = this.#lanes[entry.keyHash % this.#lanes.length] as Lane
    lane.push(entry)
  }
}
