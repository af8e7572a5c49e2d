import { describe, expect, it } from 'vitest'
import { InvalidFactError } from '../../src/errors.ts'
import { Fact, type FactInput } from '../../src/fact.ts'

const base = { aggregateType: 'order', aggregateId: 'o-1', eventType: 'order.created' } as const

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
    [
      'payload that throws when it is read',
      { payload: throwing() },
      /^payload cannot be written as JSON: JSON\.stringify threw RangeError$/,
    ],
    [
      'payload a revoked proxy',
      { payload: revoked() },
      /^payload cannot be written as JSON: JSON\.stringify threw TypeError$/,
    ],
    ['payload a proxy that hides its prototype', { payload: hiding() }, undefined],
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

function throwing(): object {
  return {
    get secret() {
      throw new RangeError('secret')
    },
  }
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

function hiding(): object {
  return new Proxy(
    { a: 1 },
    {
      getPrototypeOf: () => {
        throw new RangeError('secret')
      },
    },
  )
}
