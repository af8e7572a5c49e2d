import { isFactId } from './fact-id.ts'
import { metadataText } from './metadata.ts'
import { MAX_MICROS, MIN_MICROS } from './micros.ts'
import { kindOf } from './payload.ts'
import { isWellFormed } from './text.ts'
import type { Trace } from './trace/trace.ts'

/**
 * What is valid: what the Go client refuses, and what Kafka would refuse later, when nobody who could correct it is there.
 * Each rule adds its reasons to `problems`, in words that say what to do.
 */

/** Kafka's rule for the name of a topic. */
const TOPIC_CHARACTERS = /^[a-zA-Z0-9._-]*$/
const TOPIC_MAX_LENGTH = 249
/** In UTF-8 bytes. The record repeats both in its key and headers, so they are bounded apart from the envelope. */
const MAX_TEXT_BYTES = 8_192
/** In UTF-8 bytes, names and values together; the record repeats them in its headers. */
const MAX_TRACE_BYTES = 16_384

/** The relay writes its heartbeat under it; no relay produces it. */
export const HEARTBEAT_PREFIX = 'factlib.heartbeat'

const TOPIC_CHARACTERS_WORDS = "a topic's name may have only letters of a-z and A-Z, digits, '.', '_' and '-'"

export function checkAggregateType(value: unknown, problems: string[]): string {
  if (!checkText('aggregateType', value, "what the fact is about, such as 'order'", problems)) return ''
  if (!TOPIC_CHARACTERS.test(value)) {
    problems.push(`aggregateType has characters that no Kafka topic may have: ${TOPIC_CHARACTERS_WORDS}`)
  } else if (value.length > TOPIC_MAX_LENGTH - 2) {
    problems.push(`aggregateType has ${value.length} characters: a prefix, a dot and it may have ${TOPIC_MAX_LENGTH}`)
  }
  return value
}

/** Numbers and bigints become text: ids of rows often are. */
export function checkAggregateId(value: unknown, problems: string[]): string {
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) return String(value)
    problems.push('aggregateId is a number that is no safe integer: give a string or a bigint')
    return ''
  }
  if (
    !checkText('aggregateId', value, "which one, such as the row's id (a string, a safe integer or a bigint)", problems)
  )
    return ''
  checkLength('aggregateId', value, problems)
  return value
}

export function checkEventType(value: unknown, problems: string[]): string {
  if (!checkText('eventType', value, "what happened, such as 'order.created'", problems)) return ''
  checkLength('eventType', value, problems)
  return value
}

export function checkId(value: unknown, problems: string[]): string {
  const lower = typeof value === 'string' ? value.toLowerCase() : value
  if (isFactId(lower)) return lower
  problems.push('id is no UUID: leave it out to get a new one, or give one in text form')
  return ''
}

export const MISSING_PREFIX =
  "prefix is missing: give the fact or the emitter one, call configure({ prefix: '…' }), or set FACTLIB_PREFIX"

/** The prefix by itself; an empty one counts as not given, as Django's does. */
export function checkPrefix(value: unknown, problems: string[]): string | undefined {
  if (value === undefined || value === null || value === '') return undefined
  if (typeof value !== 'string') {
    problems.push(`prefix is ${kindOf(value)}: give a string`)
    return undefined
  }
  if (!TOPIC_CHARACTERS.test(value)) {
    problems.push(`prefix has characters that no Kafka topic may have: ${TOPIC_CHARACTERS_WORDS}`)
  } else if (value.length > TOPIC_MAX_LENGTH - 2) {
    problems.push(
      `prefix has ${value.length} characters: it, a dot and the aggregate type may have ${TOPIC_MAX_LENGTH}`,
    )
  } else if (value === HEARTBEAT_PREFIX) {
    problems.push(`the prefix "${HEARTBEAT_PREFIX}" is the relay's own: facts under it would never be produced`)
  }
  return value
}

/** The two together; each by itself is checked elsewhere. `.` and `..` cannot come about: both halves have a character. */
export function checkTopic(prefix: string, aggregateType: string, problems: string[]): void {
  const length = prefix.length + 1 + aggregateType.length
  if (
    length > TOPIC_MAX_LENGTH &&
    prefix.length <= TOPIC_MAX_LENGTH - 2 &&
    aggregateType.length <= TOPIC_MAX_LENGTH - 2
  ) {
    problems.push(
      `prefix and aggregateType make a topic of ${length} characters: Kafka allows ${TOPIC_MAX_LENGTH}, shorten one`,
    )
  }
}

/** The created-at in microseconds, or undefined when neither is given. */
export function checkCreatedAt(date: unknown, micros: unknown, problems: string[]): bigint | undefined {
  if (date !== undefined && micros !== undefined) {
    problems.push('createdAt and createdAtMicros are both given: give one of them')
    return undefined
  }
  let value: bigint
  if (micros !== undefined) {
    if (typeof micros !== 'bigint') {
      problems.push(`createdAtMicros is ${kindOf(micros)}: give a bigint, microseconds since 1970`)
      return undefined
    }
    value = micros
  } else if (date !== undefined) {
    // By its tag and not by instanceof: a Date of another realm is one too.
    const ms = Object.prototype.toString.call(date) === '[object Date]' ? (date as Date).getTime() : undefined
    if (ms === undefined || Number.isNaN(ms)) {
      problems.push(`createdAt is ${ms === undefined ? kindOf(date) : 'an Invalid Date'}: give a valid Date`)
      return undefined
    }
    value = BigInt(ms) * 1000n
  } else {
    return undefined
  }
  if (value < MIN_MICROS || value > MAX_MICROS) {
    problems.push(
      'the created-at is outside 1973-03-03 to 5138-11-16: consumers tell its unit by its size, and would read another time',
    )
  }
  return value
}

/** A trace that the caller gave. */
export function checkTrace(value: unknown, problems: string[]): Trace {
  if (typeof value !== 'object' || value === null) {
    problems.push(`trace is ${kindOf(value)}: give { traceId, spanId, metadata }, or leave it out`)
    return { traceId: '', spanId: '', metadata: {} }
  }
  const { traceId = '', spanId = '', metadata } = value as Partial<Trace>
  for (const [name, text] of [
    ['trace.traceId', traceId],
    ['trace.spanId', spanId],
  ] as const) {
    if (typeof text !== 'string') problems.push(`${name} is ${kindOf(text)}: give a string`)
    else if (!isWellFormed(text)) problems.push(`${name} has half of a surrogate pair: repair it`)
  }
  const trace = Object.freeze({ traceId, spanId, metadata: metadataText(metadata, 'trace.metadata', problems) })
  const bytes = traceBytes(trace)
  if (bytes > MAX_TRACE_BYTES) problems.push(`trace has ${bytes} bytes: it may have ${MAX_TRACE_BYTES}`)
  return trace
}

function traceBytes(trace: Trace): number {
  let bytes = Buffer.byteLength(String(trace.traceId)) + Buffer.byteLength(String(trace.spanId))
  for (const key in trace.metadata) bytes += Buffer.byteLength(key) + Buffer.byteLength(trace.metadata[key] ?? '')
  return bytes
}

function checkText(name: string, value: unknown, what: string, problems: string[]): value is string {
  if (value === undefined || value === null || value === '') {
    problems.push(`${name} is ${value === '' ? 'empty' : 'missing'}: give ${what}`)
    return false
  }
  if (typeof value !== 'string') {
    problems.push(`${name} is ${kindOf(value)}: give ${what}`)
    return false
  }
  if (!isWellFormed(value)) {
    problems.push(`${name} has half of a surrogate pair, which UTF-8 cannot hold: repair it`)
    return false
  }
  return true
}

function checkLength(name: string, value: string, problems: string[]): void {
  if (value.length * 3 <= MAX_TEXT_BYTES) return
  const bytes = Buffer.byteLength(value)
  if (bytes > MAX_TEXT_BYTES) problems.push(`${name} has ${bytes} bytes: it may have ${MAX_TEXT_BYTES}`)
}
