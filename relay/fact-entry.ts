import type { EnvelopeScan } from '../src/envelope/scan.ts'
import type { Entry } from './entry.ts'
import type { IncomingMessage } from './intake.ts'
import type { LedgerUnit } from './ledger.ts'
import type { Lsn } from './lsn.ts'
import { keyHash } from './partitioner.ts'
import { readVarint, varintBytes, writeRange, writeText, writeVarint } from './record-bytes.ts'
import type { PreparedFields } from './sink/sink.ts'

// A fact as the relay holds it: one object, and one range of bytes that is copied out of the socket's buffer once and into a
// request once. The range is what a record of Kafka's format has after its deltas:
//
//   key length · key · value length · value · header count · ( name length · name · value length · value )*
//
// Against a copy of the value, three views and an object of headers for each fact: 2,555 → 1,300 bytes of heap, 3.3 → 2.0 µs of CPU
// (bench/hot-path.mts). test/relay/fact-entry.test.ts holds it against the plain way.

/** What an entry costs beside its value: objects, headers, key. Measured in round figures; it keeps the window honest. */
export const ENTRY_OVERHEAD_BYTES = 600

/**
 * Facts share one; a fact that waits for long keeps all of it, so it is small: 20,000 facts of held lanes, each in another
 * slab, are 160 MB at most.
 */
const SLAB_BYTES = 8 * 1024

/** Set from the fact itself; an entry of trace_info's metadata never takes their place. */
const RESERVED = new Set(['event_id', 'event_type', 'LSN', 'trace_id', 'span_id'])

const EVENT_ID = encodedName('event_id')
const EVENT_TYPE = encodedName('event_type')
const LSN = encodedName('LSN')
const TRACE_ID = encodedName('trace_id')
const SPAN_ID = encodedName('span_id')
/** Lengths and counts of a record's fields, the five names above, the LSN's text: never more than this. */
const FIELDS_OVERHEAD_BYTES = 120
const HEXADECIMAL = Buffer.from('0123456789ABCDEF', 'latin1')

let slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
let used = 0

export interface FactParts {
  readonly message: IncomingMessage
  readonly scan: EnvelopeScan
  /** With a missing id and created-at filled in; a view that is valid during the call only. */
  readonly value: Buffer
  /** Where the scanned bytes begin in `value`. */
  readonly shift: number
  /** Undefined: the scan's own. */
  readonly derivedId: string | undefined
  readonly unit: LedgerUnit
}

export class FactEntry implements Entry, PreparedFields {
  readonly unit: LedgerUnit
  readonly prefix: string
  readonly aggregateType: string
  readonly eventType: string
  readonly messageLsn: Lsn
  readonly transactional: boolean
  readonly unitLsn: Lsn
  readonly indexInUnit: number
  readonly commitTimeMicros: bigint | undefined
  readonly receivedAtMs: number
  readonly keyHash: number
  readonly bytes: number
  timestampMs = 0
  readonly slab: Buffer
  readonly start: number
  readonly end: number
  readonly #keyStart: number
  readonly #keyEnd: number
  readonly #valueStart: number
  readonly #valueEnd: number

  constructor({ message, scan, value, shift, derivedId, unit }: FactParts) {
    this.unit = unit
    this.prefix = message.prefix
    this.aggregateType = scan.aggregateType
    this.eventType = scan.eventType
    this.messageLsn = message.messageLsn
    this.transactional = message.transactional
    this.unitLsn = message.unitLsn
    this.indexInUnit = message.indexInUnit
    this.commitTimeMicros = message.commitTimeMicros
    this.receivedAtMs = message.receivedAtMs
    this.bytes = value.length + ENTRY_OVERHEAD_BYTES
    const keyStart = scan.aggregateIdStart + shift
    const keyEnd = scan.aggregateIdEnd + shift
    const most = largest(scan, value.length + keyEnd - keyStart)
    const target = room(most)
    const start = target === slab ? used : 0
    const keyAt = writeRange(target, start, value, keyStart, keyEnd)
    const valueAt = writeVarint(target, keyAt, value.length)
    value.copy(target, valueAt)
    const end = writeHeaders(target, valueAt + value.length, { scan, value, shift, derivedId, lsn: message.messageLsn })
    if (target === slab) used = end
    this.slab = target
    this.start = start
    this.end = end
    this.#keyStart = keyAt - (keyEnd - keyStart)
    this.#keyEnd = keyAt
    this.#valueStart = valueAt
    this.#valueEnd = valueAt + value.length
    this.keyHash = keyHash(target, this.#keyStart, keyAt)
  }

  get key(): Buffer {
    return this.slab.subarray(this.#keyStart, this.#keyEnd)
  }

  get value(): Buffer {
    return this.slab.subarray(this.#valueStart, this.#valueEnd)
  }

  /** Read back from the bytes each time: the fast client does not ask for them. */
  get headers(): Readonly<Record<string, string>> {
    // No prototype: a metadata entry may be called `__proto__`.
    const headers: Record<string, string> = Object.create(null)
    let { value: count, next } = readVarint(this.slab, this.#valueEnd)
    for (; count > 0; count--) {
      const name = this.#text(next)
      const value = this.#text(name.next)
      headers[name.text] = value.text
      next = value.next
    }
    return headers
  }

  get id(): string {
    const { next } = readVarint(this.slab, this.#valueEnd)
    return this.#text(next + EVENT_ID.length).text
  }

  get settles(): boolean {
    return true
  }

  get prepared(): PreparedFields {
    return this
  }

  #text(at: number): { readonly text: string; readonly next: number } {
    const { value: length, next } = readVarint(this.slab, at)
    return { text: this.slab.toString('utf8', next, next + length), next: next + length }
  }
}

/** More than the fields can take; a text of n UTF-16 units has at most 3n bytes. */
function largest(scan: EnvelopeScan, bytes: number): number {
  let most = bytes + FIELDS_OVERHEAD_BYTES + Math.max(36, scan.idEnd - scan.idStart) + 3 * scan.eventType.length
  if (scan.traceId === '') return most
  most += 3 * (scan.traceId.length + scan.spanId.length)
  for (const [name, value] of scan.traceMetadata) most += 3 * (name.length + value.length) + 10
  return most
}

/** A large fact has a buffer of its own, so that it goes when the fact goes. */
function room(bytes: number): Buffer {
  if (bytes > SLAB_BYTES / 4) return Buffer.allocUnsafeSlow(bytes)
  if (used + bytes > SLAB_BYTES) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
    used = 0
  }
  return slab
}

/** In a fixed order, so that a duplicate has the same bytes. */
function writeHeaders(
  target: Buffer,
  at: number,
  from: Pick<FactParts, 'scan' | 'value' | 'shift' | 'derivedId'> & { readonly lsn: Lsn },
): number {
  const { scan, value, shift, derivedId } = from
  const traced = scan.traceId !== ''
  let count = traced ? 5 : 3
  if (traced) for (const name of scan.traceMetadata.keys()) if (!RESERVED.has(name)) count++
  let pos = writeVarint(target, at, count)
  pos = writeName(target, pos, EVENT_ID)
  pos =
    derivedId === undefined
      ? writeRange(target, pos, value, scan.idStart + shift, scan.idEnd + shift)
      : writeText(target, pos, derivedId)
  pos = writeName(target, pos, EVENT_TYPE)
  pos = writeText(target, pos, scan.eventType)
  pos = writeName(target, pos, LSN)
  pos = writeLsn(target, pos, from.lsn)
  if (!traced) return pos
  pos = writeText(target, writeName(target, pos, TRACE_ID), scan.traceId)
  pos = writeText(target, writeName(target, pos, SPAN_ID), scan.spanId)
  for (const [name, text] of scan.traceMetadata)
    if (!RESERVED.has(name)) pos = writeText(target, writeText(target, pos, name), text)
  return pos
}

function writeName(target: Buffer, at: number, name: Buffer): number {
  for (let i = 0; i < name.length; i++) target[at + i] = name[i] as number
  return at + name.length
}

/** `formatLsn`, without its texts. */
function writeLsn(target: Buffer, at: number, lsn: Lsn): number {
  const slash = writeHexadecimal(target, at + 1, Number(BigInt.asUintN(32, lsn >> 32n)))
  target[slash] = 0x2f
  const end = writeHexadecimal(target, slash + 1, Number(BigInt.asUintN(32, lsn)))
  target[at] = 2 * (end - at - 1)
  return end
}

function writeHexadecimal(target: Buffer, at: number, value: number): number {
  const digits = value === 0 ? 1 : 8 - (Math.clz32(value) >> 2)
  for (let i = digits - 1, rest = value; i >= 0; i--, rest >>>= 4) target[at + i] = HEXADECIMAL[rest & 15] as number
  return at + digits
}

function encodedName(name: string): Buffer {
  const encoded = Buffer.alloc(varintBytes(name.length) + name.length)
  writeText(encoded, 0, name)
  return encoded
}
