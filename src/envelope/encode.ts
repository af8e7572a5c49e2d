import type { Fact, UnknownField } from '../fact.ts'
import { NO_METADATA } from '../metadata.ts'
import type { Trace } from '../trace/trace.ts'

/**
 * The envelope of a fact, the bytes that go into the WAL: fields in ascending order, unknown ones last, and what is empty
 * left out, as proto3 has it. The grammar is in scan.ts.
 *
 * Written by hand: between two round trips @bufbuild/protobuf took 15 µs for a fact (its buffer starts at 128 bytes and
 * grows), this takes 10. A test holds it to the bytes of that library.
 */

/** Wire type 2 (length, then bytes) of the fields 1 to 8; created_at, field 6, has type 0. */
const ID = 0x0a
const AGGREGATE_TYPE = 0x12
const AGGREGATE_ID = 0x1a
const EVENT_TYPE = 0x22
const PAYLOAD = 0x2a
const CREATED_AT = 0x30
const METADATA = 0x3a
const TRACE_INFO = 0x42

const TRACE_ID = 0x0a
const SPAN_ID = 0x12
const TRACE_METADATA = 0x1a

const MAP_KEY = 0x0a
const MAP_VALUE = 0x12

/** A character of a string has at most 3 bytes in UTF-8 (two for each half of a pair). */
const MAX_BYTES_OF_A_CHARACTER = 3
/** Tags and lengths around a map's entry: 3 of each, 1 and at most 5 bytes. */
const MAX_BYTES_AROUND_AN_ENTRY = 18
/** Those of all other fields, and the created-at. */
const MAX_BYTES_AROUND_FIELDS = 80

/** Most envelopes are written here and copied out; whatever may be larger gets a buffer of its own. */
const shared = Buffer.allocUnsafeSlow(16_384)

let buffer = shared
let position = 0

/** The envelope of a fact. The same fact always gives the same bytes; they are nobody else's. */
export function encodeFact(fact: Fact): Uint8Array {
  write(fact)
  const bytes = new Uint8Array(position)
  bytes.set(buffer.subarray(0, position))
  buffer = shared
  return bytes
}

/** The same bytes as a `Buffer`, which is what drivers know as a parameter. */
export function encodeFactBuffer(fact: Fact): Buffer {
  write(fact)
  const bytes = Buffer.allocUnsafe(position)
  buffer.copy(bytes, 0, 0, position)
  buffer = shared
  return bytes
}

function write(fact: Fact): void {
  const maxBytes = maxEnvelopeBytes(fact)
  // All of it before the first byte: a fact behind a proxy runs foreign code when it is read, which may encode another one.
  const { id, aggregateType, aggregateId, eventType, payload, wireCreatedAt, metadata, trace } = fact
  const { unknownFields, unknownTraceFields } = fact
  buffer = maxBytes > shared.length ? Buffer.allocUnsafeSlow(maxBytes) : shared
  position = 0
  writeText(ID, id)
  writeText(AGGREGATE_TYPE, aggregateType)
  writeText(AGGREGATE_ID, aggregateId)
  writeText(EVENT_TYPE, eventType)
  if (payload.byteLength > 0) {
    buffer[position++] = PAYLOAD
    writeVarint(payload.byteLength)
    writeBytes(payload)
  }
  if (wireCreatedAt !== 0n) {
    buffer[position++] = CREATED_AT
    writeVarint64(wireCreatedAt)
  }
  writeMap(METADATA, metadata)
  if (trace !== undefined) {
    const start = begin(TRACE_INFO)
    writeText(TRACE_ID, trace.traceId)
    writeText(SPAN_ID, trace.spanId)
    writeMap(TRACE_METADATA, trace.metadata)
    writeUnknown(unknownTraceFields)
    end(start)
  }
  writeUnknown(unknownFields)
}

function maxEnvelopeBytes(fact: Fact): number {
  const { trace } = fact
  const characters = fact.id.length + fact.aggregateType.length + fact.aggregateId.length + fact.eventType.length
  return (
    MAX_BYTES_AROUND_FIELDS +
    characters * MAX_BYTES_OF_A_CHARACTER +
    fact.payload.byteLength +
    maxMapBytes(fact.metadata) +
    unknownBytes(fact.unknownFields) +
    (trace === undefined ? 0 : maxTraceBytes(trace) + unknownBytes(fact.unknownTraceFields))
  )
}

function maxTraceBytes({ traceId, spanId, metadata }: Trace): number {
  return (traceId.length + spanId.length) * MAX_BYTES_OF_A_CHARACTER + maxMapBytes(metadata)
}

function maxMapBytes(map: Readonly<Record<string, string>>): number {
  let bytes = 0
  for (const key of namesOf(map)) {
    bytes += MAX_BYTES_AROUND_AN_ENTRY + (key.length + map[key]!.length) * MAX_BYTES_OF_A_CHARACTER
  }
  return bytes
}

function namesOf(map: Readonly<Record<string, string>>): readonly string[] {
  return map === NO_METADATA ? NO_NAMES : Object.keys(map)
}

const NO_NAMES: readonly string[] = []

function unknownBytes(fields: readonly UnknownField[]): number {
  let bytes = 0
  for (const { data } of fields) bytes += 5 + data.byteLength
  return bytes
}

function writeText(tag: number, text: string): void {
  if (text !== '') writeTextAlways(tag, text)
}

function writeTextAlways(tag: number, text: string): void {
  const start = begin(tag)
  if (!writeShortAscii(text)) position += buffer.write(text, position, 'utf8')
  end(start)
}

/** Ids and names: a call into the engine's own code for each takes longer than their characters. */
function writeShortAscii(text: string): boolean {
  if (text.length > 64) return false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code >= 0x80) return false
    buffer[position + i] = code
  }
  position += text.length
  return true
}

/** An entry has its key and its value also when they are empty. */
function writeMap(tag: number, map: Readonly<Record<string, string>>): void {
  for (const key of namesOf(map)) {
    const start = begin(tag)
    writeTextAlways(MAP_KEY, key)
    writeTextAlways(MAP_VALUE, map[key]!)
    end(start)
  }
}

function writeUnknown(fields: readonly UnknownField[]): void {
  for (const { no, wireType, data } of fields) {
    // Not by shifting: a field's number has 29 bits, three more make it a negative number.
    writeVarint(no * 8 + wireType)
    writeBytes(data)
  }
}

function writeBytes(bytes: Uint8Array): void {
  buffer.set(bytes, position)
  position += bytes.byteLength
}

/** The tag, and one byte for the length that `end` fills in: enough for under 128 bytes, and they are most. */
function begin(tag: number): number {
  buffer[position++] = tag
  return ++position
}

function end(start: number): void {
  const length = position - start
  if (length < 0x80) {
    buffer[start - 1] = length
    return
  }
  const moved = varintBytes(length) - 1
  buffer.copyWithin(start + moved, start, position)
  position = start - 1
  writeVarint(length)
  position += length
}

function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++
  return bytes
}

function writeVarint(value: number): void {
  let rest = value
  while (rest >= 0x80) {
    buffer[position++] = (rest % 0x80) | 0x80
    rest = Math.floor(rest / 0x80)
  }
  buffer[position++] = rest
}

function writeVarint64(value: bigint): void {
  // Microseconds of this era: a number holds them.
  if (value >= 0n && value <= Number.MAX_SAFE_INTEGER) {
    writeVarint(Number(value))
    return
  }
  let rest = BigInt.asUintN(64, value)
  while (rest >= 0x80n) {
    buffer[position++] = Number(rest & 0x7fn) | 0x80
    rest >>= 7n
  }
  buffer[position++] = Number(rest)
}
