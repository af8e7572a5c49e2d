import { create, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { encodeFact, encodeFactBuffer } from '../../../src/envelope/encode.ts'
import { OutboxEventSchema, TraceInfoSchema } from '../../../src/envelope/generated/outbox_pb.ts'
import { Fact, type FactParts, factFromParts } from '../../../src/fact.ts'

/** The plain version: what @bufbuild/protobuf makes of the same fact. */
function encodedByLibrary(fact: Fact): Uint8Array {
  const { id, aggregateType, aggregateId, eventType, payload, wireCreatedAt: createdAt, metadata, trace } = fact
  const message = create(OutboxEventSchema, {
    ...{ id, aggregateType, aggregateId, eventType, payload, createdAt },
  })
  message.metadata = metadata
  if (fact.unknownFields.length > 0) message.$unknown = [...fact.unknownFields]
  if (trace !== undefined) {
    message.traceInfo = create(TraceInfoSchema, { traceId: trace.traceId, spanId: trace.spanId })
    message.traceInfo.metadata = trace.metadata
    if (fact.unknownTraceFields.length > 0) message.traceInfo.$unknown = [...fact.unknownTraceFields]
  }
  return toBinary(OutboxEventSchema, message)
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc.string({ maxLength: 80 }),
  // Halves of surrogate pairs, which new Fact refuses: the replacement character for each. And names that objects have or sort.
  fc.constantFrom(
    '',
    '\ud83c',
    '\udf0d',
    'x\ud83c',
    '\udf0d\ud83c',
    'a\0b',
    '\0',
    '__proto__',
    'constructor',
    '10',
    '9',
  ),
  // Around the lengths at which a length takes one byte more, and what the shared buffer holds.
  fc
    .tuple(
      fc.constantFrom('x', 'é', '世', '🌍', 'x世'),
      fc.constantFrom(41, 42, 43, 63, 64, 65, 127, 128, 5_461, 16_384),
    )
    .map(([character, count]) => character.repeat(count)),
)
const map = fc
  .array(fc.tuple(text, text), { maxLength: 3 })
  .map((entries) => Object.assign(Object.create(null), Object.fromEntries(entries)) as Record<string, string>)
const unknown = fc.array(
  fc.record({
    no: fc.constantFrom(9, 15, 16, 2_048, 536_870_911),
    wireType: fc.constant(2),
    data: fc.uint8Array({ maxLength: 100 }).map((bytes) => Uint8Array.of(bytes.length, ...bytes)),
  }),
  { maxLength: 2 },
)
const parts: fc.Arbitrary<FactParts> = fc.record({
  id: text,
  aggregateType: text,
  aggregateId: text,
  eventType: text,
  payload: fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc
      .constantFrom(127, 128, 16_000, 16_383, 16_384, 70_000, 2_200_000)
      .map((length) => new Uint8Array(length).fill(7)),
  ),
  metadata: map,
  wireCreatedAt: fc.oneof(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.constantFrom(0n, -1n, 127n, 128n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)),
  ),
  trace: fc.option(fc.record({ traceId: text, spanId: text, metadata: map }), { nil: undefined }),
  prefix: fc.constant(undefined),
  unknownFields: unknown,
  unknownTraceFields: unknown,
})

it('makes the bytes that the library makes, of any fact', () => {
  fc.assert(
    fc.property(parts, (of) => {
      const fact = factFromParts(of)
      const expected = hex(encodedByLibrary(fact))
      expect(hex(encodeFact(fact)) === expected).toBe(true)
      expect(hex(encodeFactBuffer(fact)) === expected).toBe(true)
    }),
    { numRuns: 300 },
  )
})

it('has room for every field of 3-byte characters around a payload that is larger than the shared buffer', () => {
  const wide = '世'.repeat(50)
  const one = Object.assign(Object.create(null), { [wide]: wide })
  const fact = factFromParts({
    ...{ id: wide, aggregateType: wide, aggregateId: wide, eventType: wide, payload: new Uint8Array(70_000).fill(7) },
    ...{ metadata: one, wireCreatedAt: -1n, trace: { traceId: wide, spanId: wide, metadata: one }, prefix: undefined },
    ...{ unknownFields: [], unknownTraceFields: [] },
  })
  expect(hex(encodeFact(fact)) === hex(encodedByLibrary(fact))).toBe(true)
})

it('gives bytes of their own, that the next fact does not write into', () => {
  const facts = ['one', 'two'].map(
    (payload) => new Fact({ aggregateType: 'a', aggregateId: 1, eventType: 'e', payload }),
  )
  const [first, second] = facts.map(encodeFact)
  const [firstBuffer, secondBuffer] = facts.map(encodeFactBuffer)
  expect(decodeFact(first!).text()).toBe('one')
  expect(decodeFact(firstBuffer!).text()).toBe('one')
  expect(decodeFact(second!).text()).toBe('two')
  expect(decodeFact(secondBuffer!).text()).toBe('two')
  expect(first!.buffer.byteLength).toBe(first!.byteLength)
})

it('makes the bytes of the library of a payload of 100 MB', () => {
  const fact = new Fact({ aggregateType: 'a', aggregateId: 1, eventType: 'e', payload: Buffer.alloc(100_000_000, 7) })
  expect(Buffer.compare(encodeFactBuffer(fact), encodedByLibrary(fact))).toBe(0)
})

describe('another fact that is encoded in between', () => {
  const other = () =>
    encodeFactBuffer(new Fact({ aggregateType: 'b', aggregateId: 2, eventType: 'f', payload: 'other' }))

  it('by the payload’s toJSON does not get into this one', () => {
    const made: Buffer[] = []
    const toJSON = () => {
      made.push(other())
      return { total: 12 }
    }
    const fact = new Fact({
      aggregateType: 'a',
      aggregateId: 1,
      eventType: 'e',
      payload: { toJSON, nested: { toJSON } },
    })
    expect(hex(encodeFactBuffer(fact))).toBe(hex(encodedByLibrary(fact)))
    expect(decodeFact(encodeFactBuffer(fact)).json()).toEqual({ total: 12 })
    expect(made.map((bytes) => decodeFact(bytes).text())).toEqual(['other'])
  })

  it('by a proxy around the fact does not get into this one', () => {
    const fact = new Fact({ aggregateType: 'a', aggregateId: 1, eventType: 'e', metadata: { k: 'v' }, payload: 'this' })
    const watched = new Proxy(fact, {
      get: (target, name, receiver) => {
        other()
        return Reflect.get(target, name, receiver)
      },
    })
    expect(hex(encodeFactBuffer(watched))).toBe(hex(encodedByLibrary(fact)))
    expect(hex(encodeFact(watched))).toBe(hex(encodedByLibrary(fact)))
  })
})
