import { type Lsn, toLsn } from '../../lsn.ts'

// pgoutput, protocol version 1, streaming off, as far as facts need it
// (https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html):
//
//   'B'  finalLsn u64 · commitTime i64 (µs since 2000) · xid u32
//   'M'  flags u8 (1 = transactional) · lsn u64 · prefix text\0 · length u32 · content
//   'C'  flags u8 · commitLsn u64 · endLsn u64 · commitTime i64
//   'O' origin, 'R' relation, 'Y' type, 'I' insert, 'U' update, 'D' delete, 'T' truncate: tables of a publication that
//   has some; not ours.

const BEGIN = 0x42
const COMMIT = 0x43
const MESSAGE = 0x4d
/** Tag and fields, as above; protocol version 1 adds nothing to them. */
const BEGIN_BYTES = 21
const COMMIT_BYTES = 26
const IGNORED = new Set([...'ORYIUDT'].map((tag) => tag.charCodeAt(0)))

/** Microseconds from 1970 to 2000, PostgreSQL's epoch. */
const POSTGRES_EPOCH_MICROS = 946_684_800_000_000n

export interface PgoutputEvents {
  onBegin(finalLsn: Lsn, commitTimeMicros: bigint): void
  onMessage(transactional: boolean, messageLsn: Lsn, prefix: string, content: Buffer): void
  onCommit(endLsn: Lsn): void
}

/**
 * Decodes one pgoutput message and calls the matching event; `content` is a view into `data`.
 *
 * @param from where the message begins in `data`: behind the header of its frame. Default 0.
 * @throws RangeError on an unknown or truncated message: a server that we do not understand must not be confirmed.
 */
export function decodePgoutput(data: Buffer, events: PgoutputEvents, from = 0): void {
  const tag = data[from]
  if (tag === MESSAGE) {
    const transactional = ((data[from + 1] as number) & 1) === 1
    const lsn = toLsn(data.readBigUInt64BE(from + 2))
    const prefixEnd = data.indexOf(0, from + 10)
    if (prefixEnd < 0) throw new RangeError('truncated logical message')
    const start = prefixEnd + 5
    const length = data.readUInt32BE(prefixEnd + 1)
    if (start + length !== data.length) throw new RangeError('logical message of another length than it says')
    events.onMessage(transactional, lsn, prefixText(data, from + 10, prefixEnd), data.subarray(start))
  } else if (tag === BEGIN) {
    if (data.length - from !== BEGIN_BYTES) throw new RangeError('Begin of another length than it has')
    events.onBegin(toLsn(data.readBigUInt64BE(from + 1)), data.readBigInt64BE(from + 9) + POSTGRES_EPOCH_MICROS)
  } else if (tag === COMMIT) {
    if (data.length - from !== COMMIT_BYTES) throw new RangeError('Commit of another length than it has')
    events.onCommit(toLsn(data.readBigUInt64BE(from + 10)))
  } else if (tag === undefined || !IGNORED.has(tag)) {
    throw new RangeError(`unknown pgoutput message 0x${(tag ?? 0).toString(16)}`)
  }
}

let knownPrefix = ''
let knownPrefixBytes = Buffer.alloc(0)

/** Nearly always the one before: comparing its few bytes is cheaper than a new text, and a text that is the same is hashed once. */
function prefixText(data: Buffer, start: number, end: number): string {
  const { length } = knownPrefixBytes
  let same = length === end - start
  for (let i = 0; same && i < length; i++) same = data[start + i] === knownPrefixBytes[i]
  if (!same) {
    knownPrefixBytes = Buffer.from(data.subarray(start, end))
    knownPrefix = data.toString('utf8', start, end)
  }
  return knownPrefix
}
