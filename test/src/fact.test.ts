import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { configure, resetConfiguration } from '../../src/config.ts'
import { decodeFact } from '../../src/envelope/decode.ts'
import { encodeFact } from '../../src/envelope/encode.ts'
import { Fact, type FactInput } from '../../src/fact.ts'

const base = { aggregateType: 'order', aggregateId: 'o-1', eventType: 'order.created' } as const

afterEach(() => resetConfiguration())

class Money {
  constructor(readonly cents: number) {}
}

const textHex = (text: string) => Buffer.from(text).toString('hex')

describe('what a fact is made of', () => {
  it.each<[unknown, string]>([
    [new Uint8Array([1, 255]), '01ff'],
    [Buffer.from('x'), '78'],
    [runInNewContext('new Uint8Array([7])'), '07'],
    ['नम', 'e0a4a8e0a4ae'],
    [undefined, ''],
    [null, '6e756c6c'],
    [0, '30'],
    [false, '66616c7365'],
    [{ a: [1, null] }, Buffer.from('{"a":[1,null]}').toString('hex')],
    [{ at: new Date(0), left: undefined, of: [undefined] }, textHex('{"at":"1970-01-01T00:00:00.000Z","of":[null]}')],
    [new Money(5), textHex('{"cents":5}')],
    [{ nested: { toJSON: () => ({ deep: 1 }) } }, textHex('{"nested":{"deep":1}}')],
    [JSON.parse('{"__proto__":{"a":1},"b":"\ud800"}'), textHex('{"__proto__":{"a":1},"b":"\\ud800"}')],
    ['🌍\0', 'f09f8c8d00'],
    [new Date(0), Buffer.from('"1970-01-01T00:00:00.000Z"').toString('hex')],
  ])('payload %o', (payload, hex) => {
    expect(Buffer.from(new Fact({ ...base, payload } as FactInput).payload).toString('hex')).toBe(hex)
  })

  it('has its own serialize, the options of its emitter, then the configured one', () => {
    configure({ serialize: () => 'configured' })
    expect(new Fact({ ...base, payload: 1 }).text()).toBe('configured')
    expect(new Fact({ ...base, payload: 1 }, { serialize: () => 'option' }).text()).toBe('option')
    expect(
      new Fact({ ...base, payload: 1n as never, serialize: String as never }, { serialize: () => 'option' }).text(),
    ).toBe('1')
    expect(new Fact({ ...base, payload: 'text' }).text()).toBe('text')
  })

  it('converts metadata as Django does', () => {
    const fact = new Fact({
      ...base,
      metadata: { s: 'x', i: 1, f: 1.5, z: -0, b: 2n ** 70n, t: true, n: false, none: null, '': '' },
    })
    expect({ ...fact.metadata }).toEqual({
      s: 'x',
      i: '1',
      f: '1.5',
      z: '0',
      b: '1180591620717411303424',
      t: 'True',
      n: 'False',
      none: '',
      '': '',
    })
  })

  it('keeps metadata under names that objects have', () => {
    const metadata = JSON.parse('{"__proto__":"a","constructor":"b","toString":"c"}')
    const fact = new Fact({ ...base, metadata })
    expect(Object.entries(fact.metadata)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
      ['toString', 'c'],
    ])
    expect(Object.entries(decodeFact(encodeFact(fact)).metadata)).toEqual(Object.entries(fact.metadata))
  })

  it('has numbers and bigints as aggregate ids in text', () => {
    expect(new Fact({ ...base, aggregateId: 42 }).aggregateId).toBe('42')
    expect(new Fact({ ...base, aggregateId: -(2n ** 63n) }).aggregateId).toBe('-9223372036854775808')
  })

  it('has its time in microseconds', () => {
    const before = BigInt(Date.now()) * 1000n
    const fact = new Fact(base)
    expect(fact.createdAtMicros).toBeGreaterThanOrEqual(before)
    expect(fact.createdAtMicros).toBeLessThanOrEqual(BigInt(Date.now()) * 1000n + 999n)
    const given = new Fact({ ...base, createdAtMicros: 1_795_248_566_238_728n })
    expect(given.createdAt.toISOString()).toBe('2026-11-21T08:09:26.238Z')
    const date = new Date('2026-01-02T03:04:05.678Z')
    expect(new Fact({ ...base, createdAt: date }).createdAtMicros).toBe(BigInt(date.getTime()) * 1000n)
  })

  it('shows itself in logs without payload and metadata values', () => {
    const fact = new Fact({ ...base, payload: 'secret', metadata: { name: 'secret' }, prefix: 'shop' })
    const logged = JSON.stringify(fact)
    expect(logged).not.toContain('secret')
    expect(JSON.parse(logged)).toMatchObject({
      id: fact.id,
      aggregateType: 'order',
      payloadBytes: 6,
      metadataNames: ['name'],
      prefix: 'shop',
    })
  })
})

describe('a fact is fixed', () => {
  it('whatever happens to what it was built from', () => {
    const payload = Buffer.from('abc')
    const metadata: Record<string, string> = { a: '1' }
    const trace = { traceId: 't', spanId: 's', metadata: { k: 'v' } }
    const createdAt = new Date()
    const fact = new Fact({ ...base, payload, metadata, trace, createdAt })
    const bytes = encodeFact(fact)
    payload.fill(0)
    metadata['a'] = '2'
    trace.traceId = 'other'
    trace.metadata.k = 'other'
    createdAt.setTime(1)
    expect(encodeFact(fact)).toEqual(bytes)
  })

  it('and cannot be written to', () => {
    const fact = new Fact({ ...base, metadata: { a: '1' } })
    for (const part of [fact, fact.metadata, fact.trace, fact.unknownFields]) expect(Object.isFrozen(part)).toBe(true)
    expect(() => {
      ;(fact as { id: string }).id = 'x'
    }).toThrow(TypeError)
  })

  it('of a subclass too, which may have fields of its own', () => {
    class OrderCreated extends Fact {
      readonly note: string = 'own'
      constructor(orderId: string) {
        super({ ...base, aggregateId: orderId, prefix: 'shop' })
      }
    }
    const fact = new OrderCreated('o-2')
    expect(fact).toMatchObject({ aggregateId: 'o-2', note: 'own' })
    expect(decodeFact(encodeFact(fact))).toMatchObject({ id: fact.id, aggregateId: 'o-2' })
    for (const name of Object.keys(new Fact(base))) {
      expect(() => Object.assign(fact, { [name]: 'x' }), name).toThrow(TypeError)
    }
    expect(fact.withPrefix('warehouse')).toMatchObject({ id: fact.id, prefix: 'warehouse' })
  })

  it('under another prefix too: id, created-at, trace and bytes stay', () => {
    const fact = new Fact({ ...base, prefix: 'shop', trace: { traceId: 't', spanId: 's', metadata: {} } })
    const other = fact.withPrefix('warehouse')
    expect(other).toBeInstanceOf(Fact)
    expect(other.prefix).toBe('warehouse')
    expect(fact.prefix).toBe('shop')
    expect(encodeFact(other)).toEqual(encodeFact(fact))
    expect(() => fact.withPrefix('')).toThrow(/prefix is empty/)
    expect(() => fact.withPrefix('a b')).toThrow(/prefix has characters/)
    expect(() => fact.withPrefix('p'.repeat(245))).toThrow(/a topic of 251/)
  })
})

describe('the trace of a fact', () => {
  it('comes from the source once, when it is built; the emitter’s before the configured one, its own before both', () => {
    let asked = 0
    configure({ trace: () => ({ traceId: `configured-${++asked}`, spanId: '', metadata: {} }) })
    const fact = new Fact(base)
    expect([fact.trace?.traceId, fact.trace?.traceId, asked]).toEqual(['configured-1', 'configured-1', 1])
    expect(new Fact(base, { trace: () => ({ traceId: 'option', spanId: '', metadata: {} }) }).trace?.traceId).toBe(
      'option',
    )
    expect(new Fact({ ...base, trace: { traceId: 'own', spanId: '', metadata: {} } }).trace?.traceId).toBe('own')
    expect(asked).toBe(1)
  })

  it.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
    ['gives a string', () => 'trace'],
    ['gives half a pair', () => ({ traceId: '\ud800', spanId: '', metadata: {} })],
    ['gives too much', () => ({ traceId: '', spanId: '', metadata: { a: 'x'.repeat(20_000) } })],
  ])('is empty when its source %s, and the diagnostics channel is told', (_, source) => {
    const told: unknown[] = []
    const listen = (message: unknown) => told.push(message)
    subscribe('factlib:trace-failed', listen)
    try {
      const fact = new Fact(base, { trace: source as never })
      expect(fact.trace).toEqual({ traceId: '', spanId: '', metadata: {} })
      expect(told).toEqual([{ error: expect.any(Error) }])
    } finally {
      unsubscribe('factlib:trace-failed', listen)
    }
  })
})

describe('decoded facts', () => {
  it.each<[bigint, string]>([
    [1_795_247_341_601_305_733n, '2026-11-21T07:49:01.601Z'],
    [1_795_247_341_601_305n, '2026-11-21T07:49:01.601Z'],
    [1_795_247_341_601n, '2026-11-21T07:49:01.601Z'],
    [1_795_247_341n, '2026-11-21T07:49:01.000Z'],
    [0n, '1970-01-01T00:00:00.000Z'],
    [-5n, '1969-12-31T23:59:55.000Z'],
  ])('created at %s', (wireCreatedAt, iso) => {
    const bytes = Buffer.concat([Buffer.from('120161', 'hex'), createdAt(wireCreatedAt)])
    const fact = decodeFact(bytes)
    expect(fact.createdAt.toISOString()).toBe(iso)
    expect(fact.wireCreatedAt).toBe(wireCreatedAt)
    expect(Buffer.from(encodeFact(fact)).toString('hex')).toBe(wireCreatedAt === 0n ? '120161' : bytes.toString('hex'))
  })

  it('read their payload as text and as JSON', () => {
    const fact = decodeFact(encodeFact(new Fact({ ...base, payload: { total: 12 } })))
    expect(fact.text()).toBe('{"total":12}')
    expect(fact.json<{ total: number }>().total).toBe(12)
    expect(() => decodeFact(encodeFact(new Fact({ ...base, payload: new Uint8Array([255]) }))).text()).toThrow(
      TypeError,
    )
  })

  it('do not look into the caller’s buffer', () => {
    const bytes = encodeFact(new Fact({ ...base, payload: 'abc' }))
    const fact = decodeFact(bytes)
    bytes.fill(0)
    expect(fact.text()).toBe('abc')
  })
})

function createdAt(value: bigint): Buffer {
  const bytes = [0x30]
  let rest = BigInt.asUintN(64, value)
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return Buffer.from([...bytes, Number(rest)])
}

describe('any fact', () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1 })
  const map = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), { maxKeys: 5 })
  const input = fc.record(
    {
      aggregateType: fc.stringMatching(/^[a-zA-Z0-9._-]{1,40}$/),
      aggregateId: fc.oneof(text, fc.maxSafeInteger(), fc.bigInt()),
      eventType: text,
      payload: fc.oneof(fc.uint8Array(), fc.string({ unit: 'grapheme' }), fc.jsonValue()),
      metadata: map,
      createdAtMicros: fc.bigInt({ min: 100_000_000_000_000n, max: 99_999_999_999_999_999n }),
      trace: fc.record({
        traceId: fc.string({ unit: 'grapheme' }),
        spanId: fc.string({ unit: 'grapheme' }),
        metadata: map,
      }),
    },
    { requiredKeys: ['aggregateType', 'aggregateId', 'eventType'] },
  )

  it('comes back from its bytes as it was, and has the same bytes each time', () => {
    fc.assert(
      fc.property(input, (one) => {
        const fact = new Fact(one as FactInput)
        const bytes = encodeFact(fact)
        const back = decodeFact(bytes)
        expect({ ...back }).toEqual({ ...fact })
        expect(encodeFact(back)).toEqual(bytes)
      }),
      { numRuns: 500 },
    )
  })
})
