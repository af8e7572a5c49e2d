import type { DeadLetterNote } from './dead-letter.ts'
import type { LedgerUnit } from './ledger.ts'
import type { Lsn } from './lsn.ts'
import type { SinkRecord } from './sink/sink.ts'

/** One fact between the slot and its destination, and the record that it becomes. One object a fact: keep it flat. */
export interface Entry extends SinkRecord {
  /** The unit of the ledger that waits for it. */
  readonly unit: LedgerUnit
  /** The fact's id, its own or derived. */
  readonly id: string
  readonly prefix: string
  readonly aggregateType: string
  readonly eventType: string
  /** Aggregate id as UTF-8: the record's key. A copy of our own. */
  readonly key: Buffer
  /** The value bytes as they go to Kafka. A copy of our own. */
  readonly value: Buffer
  readonly headers: Readonly<Record<string, string>>
  readonly messageLsn: Lsn
  readonly transactional: boolean
  /** A transaction's final LSN (Begin), or a non-transactional message's own: the same at each delivery. */
  readonly unitLsn: Lsn
  /** Which of its transaction's messages it is, from 0; 0 for a non-transactional one. */
  readonly indexInUnit: number
  /** Microseconds since 1970; undefined for a non-transactional message. */
  readonly commitTimeMicros: bigint | undefined
  /** Milliseconds of the monotonic clock. */
  readonly receivedAtMs: number
  /** `keyHash(key)`. */
  readonly keyHash: number
  /** Set when it is sent; 0 before. */
  timestampMs: number
  /** What it counts for in the window. */
  readonly bytes: number
  /** False for all but the last part of a dead letter in parts: only that one settles the fact. */
  readonly settles: boolean
  /** Why it goes to the dead-letter topic instead of where it would have gone. */
  readonly deadLetter?: DeadLetterNote | undefined
}

/** What a stream says of itself when it starts. */
export interface StreamStart {
  readonly systemId: bigint
  readonly timeline: number
  /** The end of the server's WAL, on its disk, shortly before. */
  readonly walEndLsn: Lsn
}

/** The same, with the slot's `confirmed_flush_lsn`: what lies before it was confirmed by whoever had the slot. */
export interface SlotStart extends StreamStart {
  readonly startLsn: Lsn
}

/** Where entries go: lanes, a handler's queue, a subscription. */
export interface Destination {
  /** The slot is ours and a connection streams; comes before its entries. */
  started?(stream: SlotStart): void
  /** Takes one entry; returns at once. */
  push(entry: Entry): void
  /** The connection is gone: forget what was not handed out yet; the server sends it again. */
  dropUnsent(): void
}

/** What a destination tells. */
export interface DestinationEvents {
  /** These entries are durable, in this order. */
  onDone(entries: readonly Entry[]): void
  /** These entries were forgotten by `dropUnsent`. */
  onDropped(entries: readonly Entry[]): void
  /** `by` takes the place of `entry`: a dead letter, perhaps in parts. */
  onReplaced(entry: Entry, by: readonly Entry[]): void
}
