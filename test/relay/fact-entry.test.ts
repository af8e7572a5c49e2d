import { create, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Entry } from '../../relay/entry.ts'
import type { IncomingMessage } from '../../relay/intake.ts'
import { RecordBatchEncoder } from '../../relay/kafka/record-batch.ts'
import { Ledger } from '../../relay/ledger.ts'
import { formatLsn, toLsn, ZERO_LSN } from '../../relay/lsn.ts'
import { keyHash, partitionFor } from '../../relay/partitioner.ts'
import { interpretMessage } from '../../relay/record.ts'
import type { SinkRecord } from '../../relay/sink/sink.ts'
import { completeEnvelope } from '../../src/envelope/complete.ts'
import { decodeFact } from '../../src/envelope/decode.ts'
import { OutboxEventSchema } from '../../src/envelope/generated/outbox_pb.ts'
import { deriveFactId } from '../../src/fact-id.ts'

const RESERVED = new Set(['event_id', 'event_type', 'LSN', 'trace_id', 'span_id'])
const COMMIT_TIME = 1_795_247_489_700_000n

/** The plain way, as it was before facts were kept as prepared bytes: decode all of it, build the headers one by one. */
function plain(message: IncomingMessage): Pick<Entry, 'id' | 'key' | 'value' | 'headers'> {
  const emitted = decodeFact(message.content, { prefix: message.prefix })
  const id = emitted.id === '' ? deriveFactId(message) : emitted.id
  const { commitTimeMicros } = message
  const value = Buffer.from(completeEnvelope(message.content, { derivedId: id, commitTimeMicros }))
  const headers: Record<string, string> = Object.create(null)
  headers['event_id'] = id
  headers['event_type'] = emitted.eventType
  headers['LSN'] = formatLsn(message.messageLsn)
  if (emitted.trace && emitted.trace.traceId !== '') {
    headers['trace_id'] = emitted.trace.traceId
    headers['span_id'] = emitted.trace.spanId
    for (const [name, text] of Object.entries(emitted.trace.metadata)) if (!RESERVED.has(name)) headers[name] = text
  }
  return { id, key: Buffer.from(emitted.aggregateId), value, headers }
}

const text = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'grapheme', maxLength: 90 }),
  fc.string({ unit: fc.constantFrom('a', 'ü', '🔑'), minLength: 55, maxLength: 75 }),
)
const name = fc.oneof(fc.constantFrom('LSN', 'event_id', 'parent_op', 'is_sampled', 'sentry-trace', 'baggage'), text)
const trace = fc.record({ traceId: text, spanId: text, metadata: fc.array(fc.tuple(name, text), { maxLength: 6 }) })
const envelope = fc
  .record({
    id: fc.oneof(fc.constant(''), fc.uuid(), text),
    aggregateId: fc.oneof(fc.uuid(), text, fc.string({ minLength: 65, maxLength: 400 })),
    eventType: text,
    // Small, around a quarter of a slab, larger than one.
    payload: fc
      .oneof(fc.nat(300), fc.integer({ min: 1_600, max: 2_200 }), fc.nat(20_000))
      .map((length) => Buffer.alloc(length, 'payload')),
    createdAt: fc.constantFrom(0n, 1n, COMMIT_TIME),
    trace: fc.option(trace, { nil: undefined }),
  })
  .map(({ trace: given, payload, ...fields }) => {
    const message = create(OutboxEventSchema, { ...fields, aggregateType: 'order', payload })
    if (given) {
      // A map's names that are whole numbers come first in an object; the wire keeps the order that they were written in.
      const metadata = Object.fromEntries(given.metadata.filter(([key]) => key !== '__proto__' && !/^\d+$/.test(key)))
      message.traceInfo = create(OutboxEventSchema.field.traceInfo.message!, { ...given, metadata }) as never
    }
    return Buffer.from(toBinary(OutboxEventSchema, message))
  })

function incoming(content: Buffer, messageLsn: bigint): IncomingMessage {
  const ledger = new Ledger(ZERO_LSN)
  ledger.begin()
  return {
    systemId: 7_590_000_000_000_000_001n,
    register: () => ledger.add(),
    transactional: true,
    messageLsn: toLsn(messageLsn),
    unitLsn: toLsn(messageLsn),
    indexInUnit: 0,
    prefix: 'shop',
    content,
    commitTimeMicros: COMMIT_TIME,
    receivedAtMs: 5,
  }
}

const lsn = fc.oneof(
  fc.bigInt(0n, 2n ** 64n - 1n),
  fc.constantFrom(0n, 1n, 0xffff_ffffn, 0x1_0000_0000n, 2n ** 64n - 1n),
)
const messages = fc.array(fc.tuple(envelope, lsn), { minLength: 1, maxLength: 12 })

it('a fact as prepared bytes is what the plain way makes of it', () => {
  fc.assert(
    fc.property(messages, (given) => {
      const reused = Buffer.alloc(64 * 1024)
      const expected = given.map(([content, at]) => plain(incoming(content, at)))
      const entries = given.map(([content, at]) => {
        // As the socket's buffer: overwritten by the next message.
        content.copy(reused)
        return interpretMessage(incoming(reused.subarray(0, content.length), at))
      })
      reused.fill(0xee)
      entries.forEach((entry, index) => {
        const { id, key, value, headers } = expected[index] as SinkRecord & { id: string }
        expect(entry.id).toBe(id)
        expect(entry.key.equals(key)).toBe(true)
        expect(entry.value.equals(value)).toBe(true)
        expect(Object.entries(entry.headers)).toEqual(Object.entries(headers))
        for (const count of [1, 2, 3, 12]) expect(entry.keyHash % count).toBe(partitionFor(key, count))
        expect(entry.keyHash).toBe(keyHash(key))
      })
    }),
    { numRuns: 80 },
  )
})

it('a batch of prepared facts has the bytes of a batch of plain records', () => {
  const encoder = new RecordBatchEncoder({ crc32c: (bytes) => bytes.reduce((sum, byte) => (sum * 31 + byte) >>> 0, 7) })
  const encode = (records: readonly SinkRecord[]) => Buffer.from(encoder.encode(records, { id: 3n, epoch: 1 }, 17))
  fc.assert(
    fc.property(messages, fc.integer({ min: 0, max: 2 ** 40 }), (given, later) => {
      const entries = given.map(([content, at]) => interpretMessage(incoming(content, at)))
      entries.forEach((entry, index) => {
        entry.timestampMs = 1_760_000_000_000 + (index % 2) * later
      })
      const records = entries.map(({ key, value, headers, timestampMs }) => ({ key, value, headers, timestampMs }))
      expect(encode(entries).equals(encode(records))).toBe(true)
    }),
    { numRuns: 80 },
  )
})
