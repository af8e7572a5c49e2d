import { create, toBinary } from '@bufbuild/protobuf'
import type { Fact, UnknownField } from '../fact.ts'
import type { Trace } from '../trace/trace.ts'
import { OutboxEventSchema, type TraceInfo, TraceInfoSchema } from './generated/outbox_pb.ts'

/**
 * The envelope of a fact, the bytes that go into the WAL: fields in ascending order, unknown ones last.
 * The same fact always gives the same bytes.
 */
export function encodeFact(fact: Fact): Uint8Array {
  const message = create(OutboxEventSchema)
  message.id = fact.id
  message.aggregateType = fact.aggregateType
  message.aggregateId = fact.aggregateId
  message.eventType = fact.eventType
  message.payload = fact.payload
  message.createdAt = fact.wireCreatedAt
  message.metadata = fact.metadata
  if (fact.trace !== undefined) message.traceInfo = traceInfo(fact.trace, fact.unknownTraceFields)
  if (fact.unknownFields.length > 0) message.$unknown = [...fact.unknownFields]
  return toBinary(OutboxEventSchema, message)
}

function traceInfo(trace: Trace, unknown: readonly UnknownField[]): TraceInfo {
  const message = create(TraceInfoSchema)
  message.traceId = trace.traceId
  message.spanId = trace.spanId
  message.metadata = trace.metadata
  if (unknown.length > 0) message.$unknown = [...unknown]
  return message
}
