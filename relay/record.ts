import { completeEnvelope } from '../src/envelope/complete.ts'
import { createEnvelopeScan, type EnvelopeScan, scanEnvelope } from '../src/envelope/scan.ts'
import { deriveFactId } from '../src/fact-id.ts'
import type { Entry } from './entry.ts'
import { RelayHaltError } from './errors.ts'
import { ENTRY_OVERHEAD_BYTES, FactEntry } from './fact-entry.ts'
import type { IncomingMessage } from './intake.ts'
import { formatLsn } from './lsn.ts'
import { keyHash } from './partitioner.ts'
import { EXIT } from './policy.ts'

// From a logical message to what becomes the Kafka record (CONTRACT.md, "Records"):
//
//   key      aggregate id, as it is
//   value    the emitted bytes; a missing id and a missing created-at filled in, the same at each delivery
//   headers  event_id · event_type · LSN · and, with a trace id: trace_id · span_id · every entry of trace_info's metadata

/** `0a 24` and 36 characters. */
const PREPENDED_ID_BYTES = 38

const EMPTY = Buffer.alloc(0)
const EMPTY_HASH = keyHash(EMPTY)

const scan = createEnvelopeScan()

/**
 * Makes the entry of a message, or says why it cannot be one.
 *
 * @throws RelayHaltError FACTLIB_MALFORMED_FACT.
 */
export function interpretMessage(message: IncomingMessage, traceparent = false): Entry {
  const { content } = message
  scanEnvelope(content, scan)
  if (!scan.ok) throw malformed(message, scan.problem ?? 'not an envelope')
  if (scan.aggregateType === '') throw malformed(message, 'its aggregate type is empty, so it has no topic')
  if (traceparent) addTraceparent(scan)
  const missingId = scan.idEnd === 0
  const derivedId = missingId ? deriveFactId(message) : undefined
  const { commitTimeMicros } = message
  const value =
    missingId || scan.createdAtIsZero ? completeEnvelope(content, { derivedId, commitTimeMicros, scan }) : content
  const shift = missingId && !scan.hasIdField ? PREPENDED_ID_BYTES : 0
  return new FactEntry({ message, scan, value: value as Buffer, shift, derivedId, unit: message.register() })
}

/** A message that is not a fact, as an entry for the dead-letter topic: its raw bytes, and why. */
export function interpretOrDeadLetter(message: IncomingMessage, traceparent = false): Entry {
  try {
    return interpretMessage(message, traceparent)
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
      keyHash: EMPTY_HASH,
      headers: Object.create(null),
      timestampMs: 0,
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

function malformed(message: IncomingMessage, problem: string): RelayHaltError {
  return new RelayHaltError(
    'FACTLIB_MALFORMED_FACT',
    EXIT.malformedFact,
    `the message at LSN ${formatLsn(message.messageLsn)} with prefix "${message.prefix}" (${message.content.length} bytes) is not a fact: ${problem}`,
  )
}

/** Under the prefix `*`: a message that cannot be read is somebody else's, not a broken fact. */
export function interpretOrForeign(message: IncomingMessage, traceparent = false): Entry | undefined {
  try {
    return interpretMessage(message, traceparent)
  } catch (error) {
    if ((error as { code?: string }).code === 'FACTLIB_MALFORMED_FACT') return undefined
    throw error
  }
}

/** The same, with the W3C header made of a fact's trace where the emitter gave none. */
export function withTraceparent<E extends Entry | undefined>(
  interpret: (message: IncomingMessage, traceparent: boolean) => E,
): (message: IncomingMessage) => E {
  return (message) => interpret(message, true)
}

/** Behind the trace's own metadata. */
function addTraceparent({ traceId, spanId, traceMetadata }: EnvelopeScan): void {
  if (traceMetadata.has('traceparent') || !/^[0-9a-f]{32}$/.test(traceId) || !/^[0-9a-f]{16}$/.test(spanId)) return
  traceMetadata.set('traceparent', `00-${traceId}-${spanId}-${traceMetadata.get('is_sampled') === '1' ? '01' : '00'}`)
}
