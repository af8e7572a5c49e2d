import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { configure, resetConfiguration } from '../../src/config.ts'
import { decodeFact } from '../../src/envelope/decode.ts'
import { encodeFact } from '../../src/envelope/encode.ts'
import { InvalidFactError } from '../../src/errors.ts'
import { Fact, type FactInput } from '../../src/fact.ts'

const base = { aggregateType: 'order', aggregateId: 'o-1', eventType: 'order.created' } as const

afterEach(() => resetConfiguration())

function problemsOf(input: object): readonly string[] {
  try {
    new Fact({ ...base, ...input } as FactInput)
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidFactError)
    return (error as InvalidFactError).problems
  }
  return []
}

describe('what is valid', () => {
  const lone = '\ud800'
  it.each<[string, object, RegExp | undefined]>([
    ['the least', {}, undefined],
    ['aggregateType missing', { aggregateType: undefined }, /^aggregateType is missing: give/],
    ['aggregateType null', { aggregateType: null }, /^aggregateType is missing/],
    ['aggregateType empty', { aggregateType: '' }, /^aggregateType is empty/],
    ['aggregateType a number', { aggregateType: 1 }, /^aggregateType is a number/],
    ['aggregateType with a space', { aggregateType: 'an order' }, /^aggregateType has characters/],
    ['aggregateType not ASCII', { aggregateType: 'बात' }, /^aggregateType has characters/],
    ['aggregateType with a newline at its end', { aggregateType: 'order\n' }, /^aggregateType has characters/],
    ['aggregateType with everything allowed', { aggregateType: 'aZ0._-' }, undefined],
    ['aggregateType of 247 characters', { aggregateType: 'a'.repeat(247) }, undefined],
    ['aggregateType of 248 characters', { aggregateType: 'a'.repeat(248) }, /^aggregateType has 248 characters/],
    ['aggregateType .', { aggregateType: '.' }, undefined],
    ['aggregateId empty', { aggregateId: '' }, /^aggregateId is empty/],
    ['aggregateId of half a pair', { aggregateId: lone }, /^aggregateId has half of a surrogate pair/],
    ['aggregateId 0', { aggregateId: 0 }, undefined],
    ['aggregateId no integer', { aggregateId: 1.5 }, /^aggregateId is a number that is no safe integer/],
    ['aggregateId too large to be exact', { aggregateId: 2 ** 53 }, /no safe integer/],
    ['aggregateId NaN', { aggregateId: Number.NaN }, /no safe integer/],
    ['aggregateId a bigint', { aggregateId: 2n ** 70n }, undefined],
    ['aggregateId an object', { aggregateId: {} }, /^aggregateId is an object/],
    ['aggregateId blank', { aggregateId: ' ' }, undefined],
    ['aggregateId with NUL', { aggregateId: 'a\0b' }, undefined],
    ['aggregateId of 8,192 bytes', { aggregateId: 'a'.repeat(8192) }, undefined],
    ['aggregateId of 8,193 bytes', { aggregateId: 'a'.repeat(8193) }, /^aggregateId has 8193 bytes/],
    ['aggregateId long only in UTF-8', { aggregateId: '€'.repeat(2731) }, /^aggregateId has 8193 bytes/],
    ['eventType missing', { eventType: undefined }, /^eventType is missing/],
    ['eventType of half a pair', { eventType: lone }, /^eventType has half/],
    ['eventType not ASCII', { eventType: 'बना🎉' }, undefined],
    ['eventType too long', { eventType: 'e'.repeat(8193) }, /^eventType has 8193 bytes/],
    ['prefix with a slash', { prefix: 'a/b' }, /^prefix has characters/],
    ['prefix with NUL', { prefix: 'a\0' }, /^prefix has characters/],
    ['prefix empty: as if left out', { prefix: '' }, undefined],
    ['prefix a number', { prefix: 5 }, /^prefix is a number/],
    ['topic of 249', { prefix: 'p'.repeat(100), aggregateType: 'a'.repeat(148) }, undefined],
    ['topic of 250', { prefix: 'p'.repeat(100), aggregateType: 'a'.repeat(149) }, /a topic of 250 characters/],
    ['id no UUID', { id: 'x' }, /^id is no UUID/],
    ['id empty', { id: '' }, /^id is no UUID/],
    ['id in capitals', { id: '01A1FD14-8021-74A4-B1D0-39B84891FA5C' }, undefined],
    ['createdAt invalid', { createdAt: new Date(Number.NaN) }, /^createdAt is an Invalid Date/],
    ['createdAt a string', { createdAt: '2026-01-01' }, /^createdAt is a string/],
    ['createdAt 1970', { createdAt: new Date(0) }, /^the created-at is outside/],
    ['createdAtMicros in ns', { createdAtMicros: 1795247341601305733n }, /^the created-at is outside/],
    ['createdAtMicros in ms', { createdAtMicros: 1795247341601n }, /^the created-at is outside/],
    ['createdAtMicros a number', { createdAtMicros: 1 }, /^createdAtMicros is a number/],
    ['both created-ats', { createdAt: new Date(), createdAtMicros: 1n }, /are both given/],
    ['metadata an array', { metadata: [] }, /^metadata is an array/],
    ['metadata a Map', { metadata: new Map() }, /^metadata is a Map/],
    ['metadata undefined', { metadata: { a: undefined } }, /^metadata\.a is undefined/],
    ['metadata NaN', { metadata: { a: Number.NaN } }, /^metadata\.a is a number that is not finite/],
    ['metadata infinite', { metadata: { a: -Infinity } }, /not finite/],
    ['metadata of half a pair', { metadata: { a: lone } }, /^metadata\.a has half/],
    ['metadata name of half a pair', { metadata: { [lone]: 'a' } }, /^metadata has a name with half/],
    ['metadata an object', { metadata: { a: {} } }, /^metadata\.a is an object/],
    ['metadata a Date', { metadata: { a: new Date() } }, /^metadata\.a is a Date/],
    ['metadata a symbol', { metadata: { a: Symbol('s') } }, /^metadata\.a is a symbol/],
    ['payload a bigint', { payload: 1n }, /^payload is a bigint/],
    [
      'payload with a bigint in it',
      { payload: { secret: 1n } },
      /^payload cannot be written as JSON: it holds a bigint/,
    ],
    ['payload with a cycle', { payload: cycle() }, /it holds a cycle/],
    ['payload a function', { payload: () => 1 }, /^payload is a function/],
    ['payload a Map', { payload: new Map() }, /^payload is a Map/],
    ['payload a promise', { payload: Promise.resolve(1) }, /await it/],
    ['payload NaN', { payload: Number.NaN }, /not finite/],
    ['payload an ArrayBuffer', { payload: new ArrayBuffer(2) }, /no Uint8Array/],
    ['payload of half a pair', { payload: lone }, /^payload has half/],
    ['payload that has no JSON', { payload: { toJSON: () => undefined } }, /has no JSON form/],
    ['serialize no function', { serialize: 'json' }, /^serialize is a string/],
    [
      'serialize throws',
      {
        payload: { a: 1 },
        serialize: () => {
          throw new Error('secret')
        },
      },
      /the serialize option threw Error$/,
    ],
    ['serialize gives an object', { payload: { a: 1 }, serialize: () => ({}) }, /has to return/],
    ['trace a string', { trace: 'abc' }, /^trace is a string/],
    ['trace id a number', { trace: { traceId: 1, spanId: '' } }, /^trace\.traceId is a number/],
    [
      'trace metadata undefined',
      { trace: { traceId: '', spanId: '', metadata: { a: undefined } } },
      /^trace\.metadata\.a is undefined/,
    ],
    [
      'trace too large',
      { trace: { traceId: '', spanId: '', metadata: { a: 'x'.repeat(16_384) } } },
      /^trace has 16385 bytes/,
    ],
  ])('%s', (_, input, problem) => {
    const problems = problemsOf(input)
    if (problem === undefined) expect(problems).toEqual([])
    else expect(problems).toEqual([expect.stringMatching(problem)])
    expect(problems.join()).not.toContain('secret')
  })

  it('tells every problem at once, in the message too', () => {
    const problems = problemsOf({
      aggregateType: '',
      aggregateId: '',
      eventType: '',
      payload: 1n,
      metadata: { a: undefined },
      id: 'x',
    })
    expect(problems.map((problem) => problem.split(' ')[0])).toEqual([
      'aggregateType',
      'aggregateId',
      'eventType',
      'payload',
      'metadata.a',
      'id',
    ])
    expect(new InvalidFactError(problems).message).toContain('6 problems:\n- aggregateType is empty')
  })

  it.each([undefined, null, 'x', 5])('a fact of %s', (input) => {
    expect(() => new Fact(input as never)).toThrow(InvalidFactError)
  })
})

function cycle(): object {
  const value: { self?: object } = {}
  value.self = value
  return value
}

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
