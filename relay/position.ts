import type { Entry } from './entry.ts'
import { RelayHaltError } from './errors.ts'
import { formatLsn, type Lsn, parseLsn } from './lsn.ts'
import { EXIT } from './policy.ts'

// How far a slot's facts are in Kafka, as it is kept beside them in the same Kafka transaction:
//
//   key     <system id>/<slot>
//   value   {"systemId":"7590…","timeline":1,"slot":"shop","lsn":"16/B374D848","kind":"transaction","index":41}
//
// `lsn` is a transaction's final LSN (Begin), or a non-transactional message's own; both can be the same number, and the
// message comes first then. `index` tells the fact within its transaction: a large one may span several of Kafka's.

export interface Position {
  readonly timeline: number
  readonly lsn: Lsn
  readonly kind: 'message' | 'transaction'
  readonly index: number
}

/** Where this fact stands in the stream; the same at each delivery. */
export function positionOf(entry: Entry, timeline: number): Position {
  return {
    timeline,
    lsn: entry.unitLsn,
    kind: entry.transactional ? 'transaction' : 'message',
    index: entry.indexInUnit,
  }
}

/**
 * Whether a fact is in Kafka already. False on another timeline: the same LSN may be another fact there.
 *
 * @param timeline the one that the entry was read on.
 */
export function isAtOrBelow(entry: Entry, timeline: number, position: Position | undefined): boolean {
  if (position === undefined || position.timeline !== timeline) return false
  if (entry.unitLsn !== position.lsn) return entry.unitLsn < position.lsn
  const kind = entry.transactional ? 'transaction' : 'message'
  // A non-transactional message can end where the next commit record begins.
  if (kind !== position.kind) return kind === 'message'
  return entry.indexInUnit <= position.index
}

/** The key of a slot's position. */
export function positionKey(systemId: bigint, slot: string): string {
  return `${systemId}/${slot}`
}

export function encodePosition(position: Position, systemId: bigint, slot: string): Buffer {
  const { timeline, lsn, kind, index } = position
  return Buffer.from(JSON.stringify({ systemId: String(systemId), timeline, slot, lsn: formatLsn(lsn), kind, index }))
}

/**
 * Reads a stored position. An empty value is none: the operator's way to forget it.
 *
 * @throws RelayHaltError FACTLIB_POSITION_UNUSABLE when it is not a position: dropping or sending by guess could lose or
 * repeat facts.
 */
export function decodePosition(value: Buffer | undefined): Position | undefined {
  if (value === undefined || value.length === 0) return undefined
  try {
    const { timeline, lsn, kind, index } = JSON.parse(value.toString()) as Record<string, unknown>
    if (
      Number.isSafeInteger(timeline) &&
      Number.isSafeInteger(index) &&
      typeof lsn === 'string' &&
      (kind === 'message' || kind === 'transaction')
    )
      return { timeline: timeline as number, lsn: parseLsn(lsn), kind, index: index as number }
  } catch {
    // Said below.
  }
  throw unusable('it is not a position of a factlib relay')
}

/**
 * A position that this stream can be compared with, or undefined where it cannot (another timeline).
 *
 * @param known.timeline the stream's.
 * @param known.endLsn nothing beyond it can have been written: the end of the WAL when the stream started, or what was
 * written since.
 * @param acceptGap the operator's word: a position beyond the WAL's end is given up, too.
 * @throws RelayHaltError FACTLIB_POSITION_UNUSABLE when it lies beyond that end on the same timeline:
 * the database was put back to an earlier state, and facts of now would be dropped as delivered.
 */
export function judgePosition(
  position: Position | undefined,
  known: { readonly timeline: number; readonly endLsn: Lsn },
  acceptGap: boolean,
): Position | undefined {
  if (position === undefined || position.timeline !== known.timeline) return undefined
  if (position.lsn <= known.endLsn) return position
  if (acceptGap) return undefined
  throw unusable(
    `it is ${formatLsn(position.lsn)}, but PostgreSQL's WAL ends at ${formatLsn(known.endLsn)} on the same timeline: the database was put back to an earlier state`,
  )
}

function unusable(why: string): RelayHaltError {
  return new RelayHaltError(
    'FACTLIB_POSITION_UNUSABLE',
    EXIT.slotGone,
    `the position that EXACTLY_ONCE keeps in Kafka cannot be used: ${why}. Find out what happened; then start once with --accept-gap, or give the relay another EXACTLY_ONCE_TOPIC`,
  )
}
