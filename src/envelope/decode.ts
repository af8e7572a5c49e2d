import { types } from 'node:util'
import { fromBinary } from '@bufbuild/protobuf'
import { DecodeError } from '../errors.ts'
import { type Fact, factFromParts, type UnknownField } from '../fact.ts'
import type { Trace } from '../trace/trace.ts'
import { type OutboxEvent, OutboxEventSchema } from './generated/outbox_pb.ts'
import { scanEnvelope } from './scan.ts'

export interface DecodeOptions {
  /** The prefix that the fact came with; it is not in the envelope. */
  readonly prefix?: string | undefined
}

/**
 * The fact in the bytes of an envelope: a record's value, or a WAL message's content, of any producer.
 * Everything that Django lets pass is accepted: empty strings, no id, a created-at in any unit.
 *
 * @example
 * ```ts
 * const fact = decodeFact(record.value)
 * const order = fact.json<Order>()
 * ```
 * @throws DecodeError when the bytes are no envelope.
 */
export function decodeFact(bytes: Uint8Array, options: DecodeOptions = {}): Fact {
  if (!types.isUint8Array(bytes)) throw new DecodeError('there are no bytes: a record without a value is no fact')
  const message = parse(bytes)
  const trace = message.traceInfo
  return factFromParts({
    id: message.id,
    aggregateType: message.aggregateType,
    aggregateId: message.aggregateId,
    eventType: message.eventType,
    // A copy: the message's payload is a view of the caller's buffer.
    payload: new Uint8Array(message.payload),
    metadata: frozenMap(message.metadata),
    wireCreatedAt: message.createdAt,
    trace:
      trace &&
      Object.freeze<Trace>({ traceId: trace.traceId, spanId: trace.spanId, metadata: frozenMap(trace.metadata) }),
    prefix: options.prefix || undefined,
    unknownFields: frozenFields(message.$unknown),
    unknownTraceFields: frozenFields(trace?.$unknown),
  })
}

function parse(bytes: Uint8Array): OutboxEvent {
  // The scan is the stricter of the two: consumer and relay have one opinion of what is malformed.
  const { problem } = scanEnvelope(bytes)
  if (problem !== undefined) throw notAnEnvelope(bytes, problem)
  try {
    return fromBinary(OutboxEventSchema, bytes)
  } catch (cause) {
    throw notAnEnvelope(bytes, 'it cannot be parsed', cause)
  }
}

function frozenMap(map: { readonly [key: string]: string }): Readonly<Record<string, string>> {
  const copy: Record<string, string> = Object.create(null)
  for (const key of Object.keys(map)) copy[key] = map[key]!
  return Object.freeze(copy)
}

function frozenFields(fields: readonly UnknownField[] | undefined): readonly UnknownField[] {
  return Object.freeze(
    (fields ?? []).map(({ no, wireType, data }) => Object.freeze({ no, wireType, data: new Uint8Array(data) })),
  )
}

function notAnEnvelope(bytes: Uint8Array, problem: string, cause?: unknown): DecodeError {
  return new DecodeError(`the ${bytes.byteLength} bytes are not the envelope of a fact: ${problem}`, { cause })
}
