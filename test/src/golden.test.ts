import { describe, expect, it } from 'vitest'
import { completeEnvelope } from '../../src/envelope/complete.ts'
import { decodeFact } from '../../src/envelope/decode.ts'
import { encodeFact } from '../../src/envelope/encode.ts'
import { scanEnvelope } from '../../src/envelope/scan.ts'
import { isFactlibError } from '../../src/errors.ts'
import { Fact, factFromParts } from '../../src/fact.ts'
import { deriveFactId } from '../../src/fact-id.ts'
import { canonicalWire, hasMapOrder } from './envelope/wire.ts'
import { type DecodedVector, derived, type EmittedVector, go, owlpost, python, sha256 } from './golden-vectors.ts'

const hex = (text: string) => Buffer.from(text, 'hex')
const record = (map: Record<string, string>) => Object.assign(Object.create(null), map)

function expectFields(fact: Fact, decoded: DecodedVector): void {
  const trace = decoded.trace_info
  expect(fact.id).toBe(decoded.id)
  expect(fact.aggregateType).toBe(decoded.aggregate_type)
  expect(fact.aggregateId).toBe(decoded.aggregate_id)
  expect(fact.eventType).toBe(decoded.event_type)
  expect(fact.payload.byteLength).toBe(decoded.payload_len)
  if (typeof decoded.payload_hex === 'string')
    expect(Buffer.from(fact.payload).toString('hex')).toBe(decoded.payload_hex)
  expect(String(fact.wireCreatedAt)).toBe(decoded.created_at)
  expect(fact.metadata).toEqual(record(decoded.metadata))
  if (trace === null) expect(fact.trace).toBeUndefined()
  else expect(fact.trace).toEqual({ traceId: trace.trace_id, spanId: trace.span_id, metadata: record(trace.metadata) })
}

function expectScan(bytes: Uint8Array, decoded: DecodedVector): void {
  const scan = scanEnvelope(bytes)
  expect(scan.problem).toBeUndefined()
  expect(scan).toMatchObject({
    ok: true,
    aggregateType: decoded.aggregate_type,
    eventType: decoded.event_type,
    createdAtIsZero: decoded.created_at === '0',
    traceId: decoded.trace_info?.trace_id ?? '',
    spanId: decoded.trace_info?.span_id ?? '',
  })
  expect(Object.fromEntries(scan.traceMetadata)).toEqual(decoded.trace_info?.metadata ?? {})
  expect(Buffer.from(bytes.subarray(scan.idStart, scan.idEnd)).toString()).toBe(decoded.id)
  expect(Buffer.from(bytes.subarray(scan.aggregateIdStart, scan.aggregateIdEnd)).toString()).toBe(decoded.aggregate_id)
}

const emitted: [string, EmittedVector][] = [
  ...python.vectors.map((vector): [string, EmittedVector] => [`python ${vector.name}`, vector]),
  ...go.vectors.map((vector): [string, EmittedVector] => [`go ${vector.name}`, vector]),
]
const inBytes = emitted.filter(([, vector]) => vector.bytes_hex)

describe('what Django and Go emitted', () => {
  it('is all here', () => {
    expect(python.vectors).toHaveLength(33)
    expect(go.vectors).toHaveLength(16)
    expect(inBytes).toHaveLength(47)
  })

  it.each(inBytes)('%s: decoded, scanned, and encoded again', (_, vector) => {
    const bytes = hex(vector.bytes_hex!)
    const fact = decodeFact(bytes, { prefix: vector.prefix })
    expect(fact.prefix).toBe(vector.prefix)
    expectFields(fact, vector.decoded)
    expectScan(bytes, vector.decoded)
    const again = encodeFact(fact)
    expect(canonicalWire(again)).toEqual(canonicalWire(bytes))
    if (!hasMapOrder(vector.decoded)) expect(Buffer.from(again).toString('hex')).toBe(vector.bytes_hex)
  })

  it.each(inBytes)('%s: built from its fields, encoded to the recorded bytes', (_, { decoded, bytes_hex }) => {
    const trace = decoded.trace_info!
    const built = encodeFact(
      factFromParts({
        id: decoded.id,
        aggregateType: decoded.aggregate_type,
        aggregateId: decoded.aggregate_id,
        eventType: decoded.event_type,
        payload: hex(decoded.payload_hex!),
        metadata: record(decoded.metadata),
        wireCreatedAt: BigInt(decoded.created_at),
        trace: { traceId: trace.trace_id, spanId: trace.span_id, metadata: record(trace.metadata) },
        prefix: undefined,
        unknownFields: [],
        unknownTraceFields: [],
      }),
    )
    expect(canonicalWire(built)).toEqual(canonicalWire(hex(bytes_hex!)))
    if (!hasMapOrder(decoded)) expect(Buffer.from(built).toString('hex')).toBe(bytes_hex)
  })

  const ours = inBytes.filter(([, { decoded }]) => /^[\w.-]+$/.test(decoded.aggregate_type))
  it.each(ours)(
    '%s: a Fact of ours has the same bytes, but for its id and the unit of created-at',
    (_, { decoded, bytes_hex }) => {
      const trace = decoded.trace_info!
      const fact = new Fact({
        id: decoded.id || undefined,
        aggregateType: decoded.aggregate_type,
        aggregateId: decoded.aggregate_id,
        eventType: decoded.event_type,
        payload: hex(decoded.payload_hex!),
        metadata: decoded.metadata,
        createdAtMicros: decoded.id === '' ? BigInt(decoded.created_at) : BigInt(decoded.created_at) / 1000n,
        trace: { traceId: trace.trace_id, spanId: trace.span_id, metadata: trace.metadata },
      })
      const expected = canonicalWire(hex(bytes_hex!))
      if (decoded.id === '') expected.unshift([1, 2, Buffer.from(fact.id).toString('hex')])
      expect(canonicalWire(encodeFact(fact))).toEqual(
        expected.map(([no, type, value]) => (no === 6 ? [no, type, String(fact.createdAtMicros)] : [no, type, value])),
      )
    },
  )

  it('leaves out of the above only what Django lets pass and Kafka does not', () => {
    const left = inBytes.filter((vector) => !ours.includes(vector)).map(([name]) => name)
    expect(left).toEqual(['python empty_strings', 'python unicode', 'go unicode', 'go blank strings pass'])
    for (const [, { decoded }] of inBytes.filter((vector) => !ours.includes(vector))) {
      const { aggregate_type: aggregateType, aggregate_id: aggregateId, event_type: eventType } = decoded
      expect(() => new Fact({ aggregateType, aggregateId, eventType })).toThrow(/aggregateType/)
    }
  })

  it.each(emitted.filter(([, vector]) => !vector.bytes_hex))('%s: the same bytes by their hash', (_, vector) => {
    const { decoded } = vector
    const payload = Buffer.from(Uint8Array.from({ length: decoded.payload_len }, (_, i) => i % 251))
    expect(sha256(payload)).toBe(vector.input.payload_sha256)
    const entries = Object.entries(decoded.trace_info!.metadata)
    // A Go map of two entries was written in one of two orders.
    const hashes = [entries, entries.toReversed()].map((order) => {
      const fact = factFromParts({
        id: decoded.id,
        aggregateType: decoded.aggregate_type,
        aggregateId: decoded.aggregate_id,
        eventType: decoded.event_type,
        payload,
        metadata: {},
        wireCreatedAt: BigInt(decoded.created_at),
        trace: { traceId: '', spanId: '', metadata: Object.fromEntries(order) },
        prefix: undefined,
        unknownFields: [],
        unknownTraceFields: [],
      })
      const bytes = encodeFact(fact)
      expect(bytes.byteLength).toBe(vector.bytes_len)
      expectFields(decodeFact(bytes), decoded)
      return sha256(bytes)
    })
    expect(hashes).toContain(vector.bytes_sha256)
  })
})

describe('what the relay was recorded with', () => {
  const readable = owlpost.filter((vector) => typeof vector.emitted_bytes_hex === 'string')

  it.each(readable.map((vector) => [vector.name, vector] as const))('%s', (_, vector) => {
    const bytes = hex(vector.emitted_bytes_hex!)
    if ('decode_error' in vector.emitted_decoded) {
      expect(scanEnvelope(bytes).ok).toBe(false)
      expect(() => decodeFact(bytes)).toThrow(expect.objectContaining({ code: 'FACTLIB_MALFORMED_ENVELOPE' }))
      return
    }
    expectScan(bytes, vector.emitted_decoded)
    expectFields(decodeFact(bytes), vector.emitted_decoded)
  })

  it('keeps unknown fields, behind the known ones', () => {
    const end = owlpost.find(({ name }) => name === 'raw_unknown_field_end')!
    const start = owlpost.find(({ name }) => name === 'raw_unknown_field_start')!
    for (const { emitted_bytes_hex } of [end, start]) {
      const fact = decodeFact(hex(emitted_bytes_hex!))
      expect(fact.unknownFields.map(({ no }) => no)).toEqual([15])
      expect(Buffer.from(encodeFact(fact)).toString('hex')).toBe(end.emitted_bytes_hex)
    }
  })
})

describe('what decoding keeps and refuses', () => {
  it('keeps unknown fields of the trace too', () => {
    const bytes = hex('1201616a027a7a42070a0174c23e0179')
    expect(Buffer.from(encodeFact(decodeFact(bytes))).toString('hex')).toBe('12016142070a0174c23e01796a027a7a')
  })

  it('is as strict as the scan, where the library alone is not', () => {
    for (const bytes of ['3a050a016112026162', '0a818080808000', '30ffffffffffffffffff02']) {
      expect(() => decodeFact(hex(bytes))).toThrow(expect.objectContaining({ code: 'FACTLIB_MALFORMED_ENVELOPE' }))
    }
  })

  it('tells of a record without a value', () => {
    expect(() => decodeFact(null as never)).toThrow(expect.objectContaining({ code: 'FACTLIB_MALFORMED_ENVELOPE' }))
  })
})

describe('derived ids', () => {
  it.each(derived.map((vector) => [vector.name, vector] as const))('%s', (_, vector) => {
    const content = hex(vector.content_hex)
    const [high, low] = vector.message_lsn.split('/').map((part) => BigInt(`0x${part}`)) as [bigint, bigint]
    const id = deriveFactId({
      systemId: BigInt(vector.system_id),
      messageLsn: (high << 32n) | low,
      prefix: vector.prefix,
      content,
    })
    expect(id).toBe(vector.id)
    const value = completeEnvelope(content, { derivedId: id, commitTimeMicros: 1n })
    expect(Buffer.from(value).toString('hex')).toBe(vector.value_hex)
    expect(scanEnvelope(content).hasIdField).toBe(vector.form === 'appended')
    expect(decodeFact(value).id).toBe(id)
  })
})

describe('what the clients refuse', () => {
  const base = { aggregateType: 'user', aggregateId: 'u-1', eventType: 'e' }
  const refused = (input: object) => () => {
    try {
      new Fact({ ...base, ...input } as never)
    } catch (error) {
      return isFactlibError(error, 'FACTLIB_INVALID_FACT')
    }
    return false
  }
  const accepted = (input: object) => () => new Fact({ ...base, ...input } as never) instanceof Fact
  /** Not the constructor's business: shown on a real database in statements.int.test.ts and by each adapter's contract. */
  const inDatabase = () => true

  // One line for each recorded name: what our constructor does with the same input.
  const pythonErrors: Record<string, () => boolean> = {
    'emit outside transaction (autocommit)': inDatabase,
    'ctor aggregate_type=None': refused({ aggregateType: null }),
    'ctor aggregate_type=1': refused({ aggregateType: 1 }),
    'ctor aggregate_id=None': refused({ aggregateId: null }),
    // Rows have numbers for ids: ours takes them, as text.
    'ctor aggregate_id=5': accepted({ aggregateId: 5 }),
    "ctor aggregate_id=b'bytes'": refused({ aggregateId: Buffer.from('bytes') }),
    "ctor aggregate_id=b'\\xff'": refused({ aggregateId: Buffer.from([0xff]) }),
    'ctor event_type=None': refused({ eventType: null }),
    // None is no payload in Python; null is the JSON value in JavaScript.
    'ctor payload=None': () => new Fact({ ...base, payload: null }).text() === 'null',
    "ctor payload='str'": accepted({ payload: 'str' }),
    'ctor payload=5': accepted({ payload: 5 }),
    "ctor payload=bytearray(b'x')": accepted({ payload: new Uint8Array([120]) }),
    'ctor payload=<memory at 0x7fd5f5531240>': refused({ payload: new DataView(new ArrayBuffer(1)) }),
    "ctor metadata=[('a', 'b')]": refused({ metadata: [['a', 'b']] }),
    "ctor metadata='str'": refused({ metadata: 'str' }),
    "ctor aggregate_id='\\ud800'": refused({ aggregateId: '\ud800' }),
    "ctor metadata={'a': '\\ud800'}": refused({ metadata: { a: '\ud800' } }),
    'ctor missing args': refused({ aggregateType: undefined, eventType: undefined }),
    'emit in an aborted transaction': inDatabase,
    'emit then rollback -> messages decoded': inDatabase,
    'savepoint rollback -> aggregate ids decoded': inDatabase,
    'prefix with NUL': refused({ prefix: 'a\0b' }),
    'FACTLIB_PREFIX setting missing': inDatabase,
    "FACTLIB_PREFIX ''": inDatabase,
    'emit() return value': inDatabase,
    // Beyond maxFactBytes, which emitter.test.ts shows.
    'payload 64 MiB': inDatabase,
    'emit when PG unreachable': inDatabase,
  }
  const goErrors: Record<string, () => boolean> = {
    'ERR aggregate_type empty': refused({ aggregateType: '' }),
    'ERR aggregate_id empty': refused({ aggregateId: '' }),
    'ERR event_type empty': refused({ eventType: '' }),
    'ERR all empty': refused({ aggregateType: '', aggregateId: '', eventType: '' }),
    'ERR NewFact aggregate_type empty': refused({ aggregateType: '' }),
    'ERR NewFact aggregate_id empty': refused({ aggregateId: '' }),
    'ERR NewFact event_type empty': refused({ eventType: '' }),
    'NewFact ok with nil payload/metadata': accepted({ payload: undefined, metadata: undefined }),
    // A fact without a trace panics in Go; ours is one with an empty trace.
    'ERR TraceInfo nil (what NewFact gives)': accepted({ trace: undefined }),
    'ERR invalid utf8 aggregate_id': refused({ aggregateId: 'u-\udc00' }),
    'ERR aborted tx': inDatabase,
    'ERR closed tx': inDatabase,
    rollback: inDatabase,
    'metrics.Register not called, valid fact': accepted({}),
  }

  it('has a line for each recorded name', () => {
    expect(Object.keys(pythonErrors)).toEqual(python.errors.map(({ name }) => name))
    expect(Object.keys(goErrors)).toEqual(go.errors.map(({ name }) => name))
  })

  it.each([...Object.entries(pythonErrors), ...Object.entries(goErrors)])('%s', (_, holds) => {
    expect(holds()).toBe(true)
  })
})
