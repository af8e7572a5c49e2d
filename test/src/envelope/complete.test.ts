import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { completeEnvelope } from '../../../src/envelope/complete.ts'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { encodeFact } from '../../../src/envelope/encode.ts'
import { scanEnvelope } from '../../../src/envelope/scan.ts'
import { Fact } from '../../../src/fact.ts'

const derivedId = 'da727479-465c-56cb-a7bd-7670d7098541'
const idField = `0a24${Buffer.from(derivedId).toString('hex')}`
const complete = (hex: string, completion: object) =>
  Buffer.from(completeEnvelope(Buffer.from(hex, 'hex'), completion)).toString('hex')

describe('completeEnvelope', () => {
  it.each<[string, string, object, string]>([
    ['an id before', '1201613005', { derivedId }, `${idField}1201613005`],
    ['an id behind an explicit empty one', '0a001201613005', { derivedId }, `0a001201613005${idField}`],
    ['no id where there is one', '0a01781201613005', { derivedId }, '0a01781201613005'],
    [
      'an id behind one that a later empty one has taken back',
      '0a01780a00120161',
      { derivedId },
      `0a01780a00120161${idField}`,
    ],
    ['a created-at behind', '0a0178120161', { commitTimeMicros: 300n }, '0a017812016130ac02'],
    ['a created-at behind an explicit 0', '0a01783000120161', { commitTimeMicros: 300n }, '0a0178300012016130ac02'],
    ['a created-at behind a 0 that came last', '0a017830053000', { commitTimeMicros: 1n }, '0a0178300530003001'],
    ['a created-at behind an overlong 0', '0a0178308000', { commitTimeMicros: 1n }, '0a01783080003001'],
    [
      'no created-at where there is a negative one',
      '0a017830fbffffffffffffffff01',
      { commitTimeMicros: 1n },
      '0a017830fbffffffffffffffff01',
    ],
    ['both', '120161', { derivedId, commitTimeMicros: 5n }, `${idField}1201613005`],
    ['both behind', '0a00120161', { derivedId, commitTimeMicros: 5n }, `0a00120161${idField}3005`],
    ['into nothing', '', { derivedId }, idField],
  ])('adds %s', (_, content, completion, value) => {
    expect(complete(content, completion)).toBe(value)
  })

  it('gives the same buffer when nothing is missing, or nothing is there to add', () => {
    const whole = encodeFact(new Fact({ aggregateType: 'a', aggregateId: 1, eventType: 'e' }))
    expect(completeEnvelope(whole, { derivedId, commitTimeMicros: 1n })).toBe(whole)
    const bare = Buffer.from('120161', 'hex')
    expect(completeEnvelope(bare, {})).toBe(bare)
    expect(completeEnvelope(bare, { scan: scanEnvelope(bare) })).toBe(bare)
  })

  it('refuses what is no envelope', () => {
    expect(() => complete('ff', { derivedId })).toThrow(expect.objectContaining({ code: 'FACTLIB_MALFORMED_ENVELOPE' }))
  })

  it('gives a value with that id and that time, and everything else as it was', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }), fc.uint8Array(), (commitTimeMicros, payload) => {
        const whole = encodeFact(new Fact({ aggregateType: 'a', aggregateId: 1, eventType: 'e', payload }))
        // Without id (first, 38 bytes) and created-at (last but the empty trace, 9 bytes and its tag).
        const bare = Buffer.from(whole.subarray(38, whole.length - 11))
        const fact = decodeFact(completeEnvelope(bare, { derivedId, commitTimeMicros }))
        expect(fact.id).toBe(derivedId)
        expect(fact.wireCreatedAt).toBe(commitTimeMicros)
        expect(fact.payload).toEqual(payload)
        expect([fact.aggregateType, fact.aggregateId, fact.eventType]).toEqual(['a', '1', 'e'])
      }),
    )
  })
})
