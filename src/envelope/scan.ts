import { isUtf8 } from 'node:buffer'

/**
 * The relay's partial read of an envelope: what it needs for topic, key and headers, without building a message. It runs
 * once for every fact of every service, so it makes only the strings that are asked for, and those that repeat only once.
 *
 *   envelope = *( tag value )               last value of a field wins
 *   tag      = varint( number << 3 | type )
 *   type 0   = varint                       created_at
 *   type 2   = varint length, bytes         all others; a map is a repeated message of key = 1, value = 2;
 *                                           repeated trace_info messages are merged
 *   types 1, 5 = 8, 4 bytes; 3 … 4 = group  only in unknown fields, which are skipped
 *
 * It is stricter than @bufbuild/protobuf where a consumer in another language would refuse the bytes. Malformed here, though
 * that library reads them: a known field in another wire type; a nested message or map entry whose last field runs over
 * its end; a varint of more than 10 bytes or 64 bits; a length of more than 32 bits.
 */
export interface EnvelopeScan {
  /** Whether the bytes are an envelope. Nothing else in here means anything when they are not. */
  ok: boolean
  /** Why not, in words. */
  problem: string | undefined
  /** The id, as a range of the scanned bytes; both 0 when the producer set none. */
  idStart: number
  idEnd: number
  /** Field 1 is in the bytes, be it empty: then an id has to be appended, not prepended. */
  hasIdField: boolean
  /** '' makes a fact that no topic can take: the relay treats it as malformed, this scan does not. */
  aggregateType: string
  /** The aggregate id, which is the record's key, as a range of the scanned bytes; both 0 when it is empty. */
  aggregateIdStart: number
  aggregateIdEnd: number
  eventType: string
  /** created_at is absent or 0. */
  createdAtIsZero: boolean
  traceId: string
  spanId: string
  /** trace_info's metadata in the order in which its names first came. */
  traceMetadata: Map<string, string>
}

/** A place for `scanEnvelope` to write into, to be used again for each fact. */
export function createEnvelopeScan(): EnvelopeScan {
  return {
    ok: false,
    problem: undefined,
    idStart: 0,
    idEnd: 0,
    hasIdField: false,
    aggregateType: '',
    aggregateIdStart: 0,
    aggregateIdEnd: 0,
    eventType: '',
    createdAtIsZero: true,
    traceId: '',
    spanId: '',
    traceMetadata: new Map(),
  }
}

/**
 * Reads an envelope; never throws. With `out`, that object is overwritten and returned: take what you keep out of it.
 *
 * @example
 * ```ts
 * const scan = createEnvelopeScan()
 * if (!scanEnvelope(content, scan).ok) return deadLetter(scan.problem)
 * const key = content.subarray(scan.aggregateIdStart, scan.aggregateIdEnd)
 * ```
 */
export function scanEnvelope(bytes: Uint8Array, out: EnvelopeScan = createEnvelopeScan()): EnvelopeScan {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  clear(out)
  try {
    scanEvent(buffer, out)
    out.ok = true
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    out.ok = false
    out.problem = error.message
  }
  return out
}

class Malformed extends Error {}

/** The place in the bytes that are being scanned: scanning is synchronous, so there is one. */
let at = 0

const VARINT = 0
const LENGTH_DELIMITED = 2
const START_GROUP = 3
const END_GROUP = 4
/** Groups within groups; @bufbuild/protobuf's limit. */
const MAX_DEPTH = 99

function clear(out: EnvelopeScan): void {
  at = 0
  out.problem = undefined
  out.idStart = 0
  out.idEnd = 0
  out.hasIdField = false
  out.aggregateType = ''
  out.aggregateIdStart = 0
  out.aggregateIdEnd = 0
  out.eventType = ''
  out.createdAtIsZero = true
  out.traceId = ''
  out.spanId = ''
  if (out.traceMetadata.size > 0) out.traceMetadata.clear()
}

function scanEvent(buffer: Buffer, out: EnvelopeScan): void {
  const end = buffer.length
  while (at < end) {
    const tag = readTag(buffer, end)
    switch (tag) {
      case 0x0a: {
        const length = readLength(buffer, end)
        out.idStart = length === 0 ? 0 : at
        skipText(buffer, length)
        out.idEnd = length === 0 ? 0 : at
        out.hasIdField = true
        break
      }
      case 0x12:
        out.aggregateType = readRepeatingText(buffer, readLength(buffer, end))
        break
      case 0x1a: {
        const length = readLength(buffer, end)
        out.aggregateIdStart = length === 0 ? 0 : at
        skipText(buffer, length)
        out.aggregateIdEnd = length === 0 ? 0 : at
        break
      }
      case 0x22:
        out.eventType = readRepeatingText(buffer, readLength(buffer, end))
        break
      case 0x2a: {
        const length = readLength(buffer, end)
        at += length
        break
      }
      case 0x30:
        out.createdAtIsZero = readVarintIsZero(buffer, end)
        break
      case 0x3a: {
        const length = readLength(buffer, end)
        checkEntry(buffer, at + length)
        break
      }
      case 0x42: {
        const length = readLength(buffer, end)
        scanTrace(buffer, at + length, out)
        break
      }
      default:
        if (tag >>> 3 <= 8) throw new Malformed(`field ${tag >>> 3} has the wire type ${tag & 7}`)
        skip(buffer, end, tag, MAX_DEPTH)
    }
  }
}

function scanTrace(buffer: Buffer, end: number, out: EnvelopeScan): void {
  while (at < end) {
    const tag = readTag(buffer, end)
    switch (tag) {
      case 0x0a: {
        const length = readLength(buffer, end)
        out.traceId = readText(buffer, length)
        break
      }
      case 0x12: {
        const length = readLength(buffer, end)
        out.spanId = readText(buffer, length)
        break
      }
      case 0x1a: {
        const length = readLength(buffer, end)
        scanTraceEntry(buffer, at + length, out.traceMetadata)
        break
      }
      default:
        if (tag >>> 3 <= 3) throw new Malformed(`field ${tag >>> 3} of trace_info has the wire type ${tag & 7}`)
        skip(buffer, end, tag, MAX_DEPTH - 1)
    }
  }
}

function scanTraceEntry(buffer: Buffer, end: number, metadata: Map<string, string>): void {
  let key = ''
  let value = ''
  while (at < end) {
    const tag = readTag(buffer, end)
    if (tag === 0x0a) key = readRepeatingText(buffer, readLength(buffer, end))
    else if (tag === 0x12) {
      const length = readLength(buffer, end)
      // Span operations and flags repeat; sentry-trace and baggage, which are longer, do not.
      value = length <= 24 ? readRepeatingText(buffer, length) : readText(buffer, length)
    } else skipInEntry(buffer, end, tag)
  }
  metadata.set(key, value)
}

/** The fact's own metadata goes nowhere but in the value; it only has to be sound. */
function checkEntry(buffer: Buffer, end: number): void {
  while (at < end) {
    const tag = readTag(buffer, end)
    if (tag === 0x0a || tag === 0x12) skipText(buffer, readLength(buffer, end))
    else skipInEntry(buffer, end, tag)
  }
}

function skipInEntry(buffer: Buffer, end: number, tag: number): void {
  if (tag >>> 3 <= 2) throw new Malformed(`field ${tag >>> 3} of a map entry has the wire type ${tag & 7}`)
  skip(buffer, end, tag, MAX_DEPTH)
}

function readTag(buffer: Buffer, end: number): number {
  const first = buffer[at]!
  let tag = first
  at += 1
  if (first >= 0x80) {
    at -= 1
    tag = readUint32(buffer, end)
  }
  if (tag >>> 3 === 0 || (tag & 7) > 5) throw new Malformed(`a tag of field ${tag >>> 3} and wire type ${tag & 7}`)
  return tag
}

/** Of at most 5 bytes and 32 bits. */
function readUint32(buffer: Buffer, end: number): number {
  let value = 0
  for (let shift = 0; shift < 35; shift += 7) {
    if (at >= end) throw new Malformed('it ends within a number')
    const byte = buffer[at]!
    at += 1
    if (shift === 28 && byte > 0x0f) throw new Malformed('a length or tag of more than 32 bits')
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) return value >>> 0
  }
  throw new Malformed('a length or tag of more than 32 bits')
}

function readLength(buffer: Buffer, end: number): number {
  let length: number
  if (at < end && buffer[at]! < 0x80) {
    length = buffer[at]!
    at += 1
  } else {
    length = readUint32(buffer, end)
  }
  if (length > end - at) throw new Malformed('it ends within a field')
  return length
}

/** Of at most 10 bytes and 64 bits. */
function readVarintIsZero(buffer: Buffer, end: number): boolean {
  let bits = 0
  for (let count = 0; count < 10; count++) {
    if (at >= end) throw new Malformed('it ends within a number')
    const byte = buffer[at]!
    at += 1
    if (count === 9 && byte > 1) break
    bits |= byte & 0x7f
    if (byte < 0x80) return bits === 0
  }
  throw new Malformed('a number of more than 64 bits')
}

function skip(buffer: Buffer, end: number, tag: number, depth: number): void {
  switch (tag & 7) {
    case VARINT:
      readVarintIsZero(buffer, end)
      return
    case 1:
      at += 8
      break
    case LENGTH_DELIMITED: {
      const length = readLength(buffer, end)
      at += length
      break
    }
    case START_GROUP:
      skipGroup(buffer, end, tag >>> 3, depth)
      return
    case END_GROUP:
      throw new Malformed('the end of a group that did not begin')
    default:
      at += 4
  }
  if (at > end) throw new Malformed('it ends within a field')
}

function skipGroup(buffer: Buffer, end: number, field: number, depth: number): void {
  if (depth <= 0) throw new Malformed('groups nested too deep')
  while (at < end) {
    const tag = readTag(buffer, end)
    if ((tag & 7) === END_GROUP) {
      if (tag >>> 3 === field) return
      throw new Malformed('the end of another group')
    }
    skip(buffer, end, tag, depth - 1)
  }
  throw new Malformed('it ends within a group')
}

function skipText(buffer: Buffer, length: number): void {
  const start = at
  at += length
  if (!isAsciiRange(buffer, start, at)) checkUtf8(buffer, start, at)
}

function readText(buffer: Buffer, length: number): string {
  const start = at
  at += length
  if (isAsciiRange(buffer, start, at)) return buffer.toString('latin1', start, at)
  checkUtf8(buffer, start, at)
  return buffer.toString('utf8', start, at)
}

/** For short texts a loop is faster than a call out of JavaScript; a long one is checked by `isUtf8`, whatever it is. */
function isAsciiRange(buffer: Buffer, start: number, end: number): boolean {
  if (end - start > 64) return false
  let bits = 0
  for (let i = start; i < end; i++) bits |= buffer[i]!
  return bits < 0x80
}

function checkUtf8(buffer: Buffer, start: number, end: number): void {
  if (!isUtf8(buffer.subarray(start, end))) throw new Malformed('a text that is not UTF-8')
}

/** Bounded by its slots: a text that shares its slot with another only costs a new string. */
const SLOTS = 1024
const MAX_CACHED_LENGTH = 64
const cache: string[] = new Array<string>(SLOTS).fill('')

/** A text of which there are few different ones. */
function readRepeatingText(buffer: Buffer, length: number): string {
  if (length > MAX_CACHED_LENGTH) return readText(buffer, length)
  const start = at
  let hash = length
  let bits = 0
  for (let i = start; i < start + length; i++) {
    const byte = buffer[i]!
    bits |= byte
    hash = (Math.imul(hash, 31) + byte) | 0
  }
  if (bits >= 0x80) return readText(buffer, length)
  at += length
  const slot = (hash ^ (hash >>> 10) ^ (hash >>> 20)) & (SLOTS - 1)
  const cached = cache[slot]!
  if (cached.length === length && isSame(cached, buffer, start)) return cached
  const text = buffer.toString('latin1', start, at)
  cache[slot] = text
  return text
}

function isSame(text: string, buffer: Buffer, start: number): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== buffer[start + i]) return false
  return true
}
