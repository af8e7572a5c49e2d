import { describe, expect, it } from 'vitest'
import type { Entry } from '../../relay/entry.ts'
import { parseLsn } from '../../relay/lsn.ts'
import {
  decodePosition,
  encodePosition,
  isAtOrBelow,
  judgePosition,
  type Position,
  positionKey,
  positionOf,
} from '../../relay/position.ts'
import { entry } from './entries.ts'

const at = (lsn: string, kind: 'transaction' | 'message', indexInUnit = 0): Entry =>
  entry('1', 'thing.happened', { unitLsn: parseLsn(lsn), transactional: kind === 'transaction', indexInUnit })
const position = (lsn: string, kind: Position['kind'], index = 0): Position => ({
  timeline: 1,
  lsn: parseLsn(lsn),
  kind,
  index,
})

describe('a fact is in Kafka already', () => {
  it.each<[string, Entry, Position | undefined, boolean]>([
    ['nothing is', at('0/10', 'transaction'), undefined, false],
    ['of an earlier transaction', at('0/10', 'transaction', 9), position('0/20', 'transaction', 0), true],
    ['of a later transaction', at('0/30', 'transaction', 0), position('0/20', 'transaction', 9), false],
    ['over 4 GiB, where text sorts wrongly', at('9/FF', 'transaction'), position('10/1', 'transaction'), true],
    ['earlier in the same transaction', at('0/20', 'transaction', 3), position('0/20', 'transaction', 4), true],
    ['the very fact', at('0/20', 'transaction', 4), position('0/20', 'transaction', 4), true],
    ['later in the same transaction', at('0/20', 'transaction', 5), position('0/20', 'transaction', 4), false],
    ['the very message', at('0/20', 'message'), position('0/20', 'message'), true],
    ['an earlier message', at('0/10', 'message'), position('0/20', 'transaction'), true],
    // A non-transactional message ends where the next commit record begins: same number, and the message came first.
    ['a transaction at the LSN of a message', at('0/20', 'transaction', 0), position('0/20', 'message'), false],
    ['a message at the LSN of a transaction', at('0/20', 'message'), position('0/20', 'transaction', 0), true],
  ])('%s', (_, fact, stored, expected) => {
    expect(isAtOrBelow(fact, 1, stored)).toBe(expected)
  })

  it('is not said of another timeline, whatever the LSN', () => {
    expect(isAtOrBelow(at('0/10', 'transaction'), 2, position('0/20', 'transaction'))).toBe(false)
  })
})

describe('a stored position', () => {
  it('is what was written, with the names for whoever reads the topic', () => {
    const value = encodePosition(positionOf(at('16/B374D848', 'transaction', 41), 3), 7_590n, 'shop')
    expect(JSON.parse(value.toString())).toEqual({
      systemId: '7590',
      timeline: 3,
      slot: 'shop',
      lsn: '16/B374D848',
      kind: 'transaction',
      index: 41,
    })
    expect(decodePosition(value)).toEqual({ ...position('16/B374D848', 'transaction', 41), timeline: 3 })
    expect(positionKey(7_590n, 'shop')).toBe('7590/shop')
  })

  it.each([
    ['nothing was stored', undefined],
    ['it was taken away', Buffer.alloc(0)],
  ])('is none when %s', (_, value) => {
    expect(decodePosition(value)).toBeUndefined()
  })

  it.each([
    'x',
    'null',
    '{}',
    '{"timeline":1,"lsn":"0/1","kind":"other","index":0}',
    '{"timeline":1,"lsn":"1","kind":"message","index":0}',
    '{"timeline":1,"lsn":"0/1","kind":"message","index":0.5}',
    '{"timeline":"1","lsn":"0/1","kind":"message","index":0}',
  ])('halts the relay when it is %s: a guess could lose facts', (text) => {
    expect(() => decodePosition(Buffer.from(text))).toThrow(
      expect.objectContaining({ code: 'FACTLIB_POSITION_UNUSABLE' }),
    )
  })

  it('is not compared on another timeline', () => {
    const known = { timeline: 2, endLsn: parseLsn('0/1') }
    expect(judgePosition(position('0/20', 'transaction'), known, false)).toBeUndefined()
  })

  it('beyond the end of the WAL halts the relay: the database was put back, and new facts would be dropped', () => {
    const known = { timeline: 1, endLsn: parseLsn('0/19') }
    const stored = position('0/20', 'transaction')
    expect(() => judgePosition(stored, known, false)).toThrow(
      expect.objectContaining({ code: 'FACTLIB_POSITION_UNUSABLE', exitCode: 10 }),
    )
    expect(judgePosition(stored, known, true)).toBeUndefined()
    expect(judgePosition(stored, { ...known, endLsn: stored.lsn }, false)).toBe(stored)
  })
})
