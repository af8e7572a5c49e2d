import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type OutboxEvent, OutboxEventSchema, TraceInfoSchema } from '../../../src/envelope/generated/outbox_pb.ts'
import { createEnvelopeScan, scanEnvelope } from '../../../src/envelope/scan.ts'
import { go, owlpost, python } from '../golden-vectors.ts'

// The oracle: what @bufbuild/protobuf reads in the same bytes. The scan is the stricter one (see src/envelope/scan.ts): bytes
// that it takes, the library takes with the same fields; bytes that the library refuses, the scan refuses.

const reused = createEnvelopeScan()
/** A counterexample is shrunk for so long at most. */
const bounded = { interruptAfterTimeLimit: 8_000, markInterruptAsFailure: true }

function parse(bytes: Uint8Array): OutboxEvent | undefined {
  try {
    return fromBinary(OutboxEventSchema, bytes)
  } catch {
    return undefined
  }
}

function compare(bytes: Uint8Array): 'ok' | 'malformed' | 'stricter' {
  const message = parse(bytes)
  const scan = scanEnvelope(bytes, reused)
  if (!scan.ok) {
    expect(scan.problem).toMatch(/./)
    if (message === undefined) return 'malformed'
    // Only where src/envelope/scan.ts says so.
    expect(scan.problem).toMatch(/wire type|ends within a (field|number|group)|more than (32|64) bits/)
    return 'stricter'
  }
  expect(message, `taken, but the library refuses ${Buffer.from(bytes).toString('hex')}`).toBeDefined()
  const { id, aggregateType, aggregateId, eventType, createdAt, traceInfo } = message!
  expect({
    id: Buffer.from(bytes.subarray(scan.idStart, scan.idEnd)).toString(),
    aggregateType: scan.aggregateType,
    aggregateId: Buffer.from(bytes.subarray(scan.aggregateIdStart, scan.aggregateIdEnd)).toString(),
    eventType: scan.eventType,
    createdAtIsZero: scan.createdAtIsZero,
    traceId: scan.traceId,
    spanId: scan.spanId,
    traceMetadata: new Map(scan.traceMetadata),
  }).toEqual({
    id,
    aggregateType,
    aggregateId,
    eventType,
    createdAtIsZero: createdAt === 0n,
    traceId: traceInfo?.traceId ?? '',
    spanId: traceInfo?.spanId ?? '',
    traceMetadata: new Map(Object.entries(traceInfo?.metadata ?? {})),
  })
  return 'ok'
}

const recorded = [
  ...[...python.vectors, ...go.vectors].map(({ bytes_hex }) => bytes_hex),
  ...owlpost.map(({ emitted_bytes_hex }) => emitted_bytes_hex),
]
  .filter((hex) => typeof hex === 'string')
  .map((hex) => Buffer.from(hex, 'hex'))

const text = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'grapheme', minLength: 60, maxLength: 140 }),
  fc.constantFrom('', 'user', 'order.created', '\ufeffx', '__proto__'),
)
const entries = fc.array(fc.tuple(text, text), { maxLength: 4 })

/** One field as it may stand on the wire, in any order and number, known or not, sound. */
const field = fc.oneof(
  fc.tuple(fc.constantFrom(1, 2, 3, 4), text).map(([no, value]) => delimited(no, Buffer.from(value))),
  fc.uint8Array({ maxLength: 200 }).map((value) => delimited(5, value)),
  fc
    .bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    .map((value) => [tag(6, 0), varint(BigInt.asUintN(64, value))].flat()),
  fc.tuple(text, text).map(([key, value]) => delimited(7, entry(key, value))),
  fc
    .tuple(text, text, entries, fc.boolean())
    .map(([traceId, spanId, metadata, unknown]) =>
      delimited(8, [
        ...delimited(1, Buffer.from(traceId)),
        ...metadata.flatMap(([key, value]) => delimited(3, entry(key, value))),
        ...(unknown ? delimited(9, [1, 2]) : []),
        ...delimited(2, Buffer.from(spanId)),
      ]),
    ),
  fc
    .tuple(fc.constantFrom(9, 15, 16, 2047, 536_870_911), fc.uint8Array({ maxLength: 9 }))
    .map(([no, value]) => delimited(no, value)),
  fc.constantFrom(9, 100).map((no) => [...tag(no, 3), ...tag(4, 0), 5, ...tag(7, 3), ...tag(7, 4), ...tag(no, 4)]),
  fc.constantFrom(9, 100).map((no) => [...tag(no, 1), 1, 2, 3, 4, 5, 6, 7, 8]),
  fc.constantFrom(9, 100).map((no) => [...tag(no, 5), 1, 2, 3, 4]),
  fc.constantFrom(9, 100).map((no) => [...tag(no, 0), 0xff, 0x01]),
)
const envelope = fc.array(field, { maxLength: 12 }).map((fields) => Uint8Array.from(fields.flat()))

function tag(no: number, type: number): number[] {
  return varint(BigInt(((no << 3) | type) >>> 0))
}
function varint(value: bigint): number[] {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return [...bytes, Number(rest)]
}
function delimited(no: number, value: Uint8Array | readonly number[]): number[] {
  return [...tag(no, 2), ...varint(BigInt(value.length)), ...value]
}
function entry(key: string, value: string): number[] {
  return [
    ...(key === '' ? [] : delimited(1, Buffer.from(key))),
    ...(value === '' ? [] : delimited(2, Buffer.from(value))),
  ]
}

describe('scanEnvelope reads what @bufbuild/protobuf reads', () => {
  it('in every recorded envelope', () => {
    const results = recorded.map(compare)
    expect(results.filter((result) => result === 'ok').length).toBeGreaterThan(80)
    expect(results).not.toContain('stricter')
  })

  it('in messages that it wrote', () => {
    const message = fc.record({
      id: text,
      aggregateType: text,
      aggregateId: text,
      eventType: text,
      payload: fc.uint8Array(),
      createdAt: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      metadata: entries.map(Object.fromEntries),
      traceInfo: fc.option(
        fc
          .record({ traceId: text, spanId: text, metadata: entries.map(Object.fromEntries) })
          .map((trace) => create(TraceInfoSchema, trace)),
        { nil: undefined },
      ),
    })
    fc.assert(
      fc.property(message, (fields) => {
        const { traceInfo, ...rest } = fields
        const bytes = toBinary(
          OutboxEventSchema,
          create(OutboxEventSchema, traceInfo === undefined ? rest : { ...rest, traceInfo }),
        )
        expect(compare(bytes)).toBe('ok')
      }),
      { numRuns: 400, ...bounded },
    )
  })

  it('in any sound sequence of fields: repeated, merged, unknown, in any order', () => {
    fc.assert(
      fc.property(envelope, (bytes) => {
        expect(compare(bytes)).toBe('ok')
      }),
      { numRuns: 1_000, ...bounded },
    )
  })

  it('in any of them cut off or changed: what the library refuses, it refuses', () => {
    const change = fc.record({
      bytes: fc.oneof(envelope, fc.constantFrom(...recorded.filter(({ length }) => length < 1_000))),
      at: fc.nat(),
      to: fc.nat(255),
      cut: fc.boolean(),
    })
    const seen = { ok: 0, malformed: 0, stricter: 0 }
    fc.assert(
      fc.property(change, ({ bytes, at, to, cut }) => {
        if (bytes.length === 0) return
        const place = at % bytes.length
        const changed = cut ? bytes.slice(0, place) : Uint8Array.from(bytes)
        if (!cut) changed[place] = to
        seen[compare(changed)] += 1
      }),
      { numRuns: 4_000, ...bounded },
    )
    expect(seen.ok).toBeGreaterThan(100)
    expect(seen.malformed).toBeGreaterThan(100)
  })

  it('in any bytes at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => void compare(bytes)),
      { numRuns: 4_000, ...bounded },
    )
  })
})

describe('scanEnvelope', () => {
  const hex = (text: string) => Buffer.from(text, 'hex')

  it.each<[string, string, RegExp]>([
    ['a known field in another wire type', '0801', /field 1 has the wire type 0/],
    ['a known field as a group', '2324', /field 4 has the wire type 3/],
    ['created_at as bytes', '320101', /field 6 has the wire type 2/],
    ['a field of trace_info in another wire type', '42020801', /field 1 of trace_info/],
    ['a key of a map in another wire type', '3a020801', /field 1 of a map entry/],
    ['a map entry whose value runs over its end', '3a050a016112026162', /ends within a field/],
    ['trace_info whose field runs over its end', '42020a05616263646566', /ends within a field/],
    ['a number of eleven bytes', '30ffffffffffffffffffff01', /more than 64 bits/],
    ['a number of 65 bits', '30ffffffffffffffffff02', /more than 64 bits/],
    ['a length of more than 32 bits', '0a8180808010', /more than 32 bits/],
    ['a length of six bytes', '0a818080808000', /more than 32 bits/],
    ['an unknown number that never ends', '78ffffffffffffffffffff7f', /more than 64 bits/],
  ])('is stricter: %s', (_, bytes, problem) => {
    expect(scanEnvelope(hex(bytes)).problem).toMatch(problem)
  })

  it.each<[string, string, RegExp]>([
    ['a tag of field 0', '0001', /a tag of field 0/],
    ['wire type 7', '7f', /wire type 7/],
    ['a text that is cut', '0a0261', /ends within a field/],
    ['a tag that is cut', '8a', /ends within a number/],
    ['a number that is cut', '3080', /ends within a number/],
    ['a group that is cut', '7b', /ends within a group/],
    ['the end of another group', '7b8401', /another group/],
    ['an end without a group', '7c', /did not begin/],
    ['invalid UTF-8 in the id', '0a01ff', /not UTF-8/],
    ['invalid UTF-8 in the aggregate type', '1201ff', /not UTF-8/],
    ['invalid UTF-8 in the aggregate id', '1a01ff', /not UTF-8/],
    ['invalid UTF-8 in the event type', '2201ff', /not UTF-8/],
    ['invalid UTF-8 in a metadata name', '3a030a01ff', /not UTF-8/],
    ['invalid UTF-8 in a metadata value', '3a031201ff', /not UTF-8/],
    ['invalid UTF-8 in a trace value', '42051a031201ff', /not UTF-8/],
    ['a surrogate in UTF-8', '0a03eda080', /not UTF-8/],
    ['a long text that is not UTF-8', `0a50${'61'.repeat(79)}ff`, /not UTF-8/],
    ['groups nested too deep', '7b'.repeat(101) + '7c'.repeat(101), /too deep/],
  ])('refuses %s, as the library does', (_, bytes, problem) => {
    expect(parse(hex(bytes))).toBeUndefined()
    expect(scanEnvelope(hex(bytes)).problem).toMatch(problem)
  })

  it('leaves nothing of the one before in what it is given', () => {
    const out = createEnvelopeScan()
    for (const bytes of recorded) scanEnvelope(bytes, out)
    expect(scanEnvelope(new Uint8Array(0), out)).toEqual({ ...createEnvelopeScan(), ok: true })
    scanEnvelope(hex('ff'), out)
    expect(scanEnvelope(hex('120161'), out)).toEqual({ ...createEnvelopeScan(), ok: true, aggregateType: 'a' })
  })

  it('reads a view of a larger buffer, and a plain Uint8Array', () => {
    const whole = Buffer.concat([hex('ffff'), hex('1201611a0162'), hex('ffff')])
    for (const bytes of [whole.subarray(2, 8), new Uint8Array(whole.buffer, whole.byteOffset + 2, 6)]) {
      const scan = scanEnvelope(bytes)
      expect(scan.aggregateType).toBe('a')
      expect(Buffer.from(bytes.subarray(scan.aggregateIdStart, scan.aggregateIdEnd)).toString()).toBe('b')
    }
  })

  it('does not confuse texts that share a place in its cache', () => {
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 5_000; i++) {
        const name = `type-${(i * 7919) % 5_000}`
        expect(scanEnvelope(Buffer.from(delimited(2, Buffer.from(name)))).aggregateType).toBe(name)
      }
    }
  })
})
