import { completeEnvelope } from '../src/envelope/complete.ts'
import { createEnvelopeScan, type EnvelopeScan, scanEnvelope } from '../src/envelope/scan.ts'
import { deriveFactId } from '../src/fact-id.ts'
import type { Entry } from './entry.ts'
import { RelayHaltError } from './errors.ts'
import type { IncomingMessage } from './intake.ts'
import { formatLsn, type Lsn } from './lsn.ts'
import { EXIT } from './policy.ts'

// From a logical message to what becomes the Kafka record (CONTRACT.md, "Records"):
//
//   key      aggregate id, as it is
//   value    the emitted bytes; a missing id and a missing created-at filled in, the same at each delivery
//   headers  event_id · event_type · LSN · and, with a trace id: trace_id · span_id · every entry of trace_info's metadata

/** Set from the fact itself; an entry of trace_info's metadata never takes their place. */
const RESERVED = new Set(['event_id', 'event_type', 'LSN', 'trace_id', 'span_id'])

/** What an entry costs beside its value: objects, headers, key. Measured in round figures; it keeps the window honest. */
const ENTRY_OVERHEAD_BYTES = 600

/** `0a 24` and 36 characters. */
const PREPENDED_ID_BYTES = 38

const EMPTY = Buffer.alloc(0)

const scan = createEnvelopeScan()

/**
 * Makes the entry of a message, or says why it cannot be one.
 *
 * @throws RelayHaltError FACTLIB_MALFORMED_FACT.
 */
export function interpretMessage(message: IncomingMessage): Entry {
  const { content, prefix, messageLsn } = message
  scanEnvelope(content, scan)
  if (!scan.ok) throw malformed(message, scan.problem ?? 'not an envelope')
  if (scan.aggregateType === '') throw malformed(message, 'its aggregate type is empty, so it has no topic')
  const { aggregateType, eventType } = scan
  const missingId = scan.id === ''
  const id = missingId ? deriveFactId({ systemId: message.systemId, messageLsn, prefix, content }) : scan.id
  const completed = completeEnvelope(content, {
    derivedId: missingId ? id : undefined,
    commitTimeMicros: message.commitTimeMicros,
    scan,
  })
  // `content` is a view into a buffer that is overwritten after this call: unless completing has copied it, copy it now.
  const value = completed === content ? Buffer.from(content) : (completed as Buffer)
  const shift = missingId && !scan.hasIdField ? PREPENDED_ID_BYTES : 0
  const headers = recordHeaders(scan, id, messageLsn)
  return {
    unit: message.register(),
    id,
    prefix,
    aggregateType,
    eventType,
    key: value.subarray(scan.aggregateIdStart + shift, scan.aggregateIdEnd + shift),
    value,
    headers,
    messageLsn,
    transactional: message.transactional,
    unitLsn: message.unitLsn,
    indexInUnit: message.indexInUnit,
    commitTimeMicros: message.commitTimeMicros,
    receivedAtMs: message.receivedAtMs,
    bytes: value.length + ENTRY_OVERHEAD_BYTES,
    settles: true,
  }
}

/** A message that is not a fact, as an entry for the dead-letter topic: its raw bytes, and why. */
export function interpretOrDeadLetter(message: IncomingMessage): Entry {
  try {
    return interpretMessage(message)
  } catch (error) {
    if (!(error instanceof RelayHaltError) || error.code !== 'FACTLIB_MALFORMED_FACT') throw error
    const { content, prefix, messageLsn } = message
    return {
      unit: message.register(),
      id: deriveFactId({ systemId: message.systemId, messageLsn, prefix, content }),
      prefix,
      aggregateType: '',
      eventType: '',
      key: EMPTY,
      value: Buffer.from(content),
      headers: Object.create(null),
      messageLsn,
      transactional: message.transactional,
      unitLsn: message.unitLsn,
      indexInUnit: message.indexInUnit,
      commitTimeMicros: message.commitTimeMicros,
      receivedAtMs: message.receivedAtMs,
      bytes: content.length + ENTRY_OVERHEAD_BYTES,
      settles: true,
      deadLetter: { cause: 'malformed', detail: error.message, topic: '', attempts: 0 },
    }
  }
}

/** In a fixed order, so that a duplicate has the same header bytes too. */
function recordHeaders(scan: EnvelopeScan, id: string, messageLsn: Lsn): Record<string, string> {
  // No prototype: a metadata entry may be called `__proto__`.
  const headers: Record<string, string> = Object.create(null)
  headers.event_id = id
  headers.event_type = scan.eventType
  headers.LSN = formatLsn(messageLsn)
  if (scan.traceId !== '') {
    headers.trace_id = scan.traceId
    headers.span_id = scan.spanId
    for (const [name, value] of scan.traceMetadata) if (!RESERVED.has(name)) headers[name] = value
  }
  return headers
}

function malformed(message: IncomingMessage, problem: string): RelayHaltError {
  return new RelayHaltError(
    'FACTLIB_MALFORMED_FACT',
    EXIT.malformedFact,
    `the message at LSN ${formatLsn(message.messageLsn)} with prefix "${message.prefix}" (${message.content.length} bytes) is not a fact: ${problem}`,
  )
}

/** Under the prefix `*`: a message that cannot be read is somebody else's, not a broken fact. */
export function interpretOrForeign(message: IncomingMessage): Entry | undefined {
  try {
    return interpretMessage(message)
  } catch (error) {
    if ((error as { code?: string }).code === 'FACTLIB_MALFORMED_FACT') return undefined
    throw error
  }
}

/** The same entry, with the W3C header made of its trace where the emitter gave none. */
export function withTraceparent<E extends Entry | undefined>(interpret: (message: IncomingMessage) => E) {
  return (message: IncomingMessage): E => {
    const entry = interpret(message)
    const headers = entry?.headers as Record<string, string> | undefined
    const { trace_id: traceId = '', span_id: spanId = '' } = headers ?? {}
    if (
      headers &&
      headers['traceparent'] === undefined &&
      /^[0-9a-f]{32}$/.test(traceId) &&
      /^[0-9a-f]{16}$/.test(spanId)
    )
      headers['traceparent'] = `00-${traceId}-${spanId}-${headers['is_sampled'] === '1' ? '01' : '00'}`
    return entry
  }
}
