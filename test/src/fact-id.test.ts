import { afterEach, describe, expect, it, vi } from 'vitest'
import { createFactId, isFactId } from '../../src/fact-id.ts'

const timeOf = (id: string) => Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)

describe('createFactId', () => {
  afterEach(() => vi.useRealTimers())

  it('is a UUIDv7 of now', () => {
    const before = Date.now()
    const id = createFactId()
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(timeOf(id)).toBeGreaterThanOrEqual(before)
    expect(timeOf(id)).toBeLessThanOrEqual(Date.now() + 100)
  })

  it('ascends in one process, also within a millisecond and beyond its 4,096 numbers', () => {
    const now = Date.now() + 60_000
    const ids = Array.from({ length: 20_000 }, () => createFactId(now))
    expect(ids.toSorted()).toEqual(ids)
    expect(new Set(ids).size).toBe(ids.length)
    expect(timeOf(ids.at(-1)!) - now).toBeLessThan(12)
  })

  it('ascends over a small step back of the clock, and follows a large one', () => {
    const now = Date.now() + 120_000
    const first = createFactId(now)
    expect(createFactId(now - 5_000) > first).toBe(true)
    expect(timeOf(createFactId(now - 50_000))).toBe(now - 50_000)
  })

  it('takes its random part from the source that is given', () => {
    const id = createFactId(1_900_000_000_000, () => new Uint8Array(10).fill(0xff))
    expect(id).toBe('01ba5ff8-1c00-77ff-bfff-ffffffffffff'.replace('01ba5ff8-1c00', id.slice(0, 13)))
    expect(timeOf(id)).toBe(1_900_000_000_000)
  })

  it('has the digits of the time and of the random bytes, as the plain way writes them', () => {
    for (let i = 1; i <= 500; i++) {
      const bytes = Uint8Array.from({ length: 10 }, (_, place) => (i * 37 + place * 101) & 0xff)
      // Ever more than the ones before, so that the clock is followed; up to the largest time that 48 bits hold.
      const now = 2_000_000_000_000 + Math.floor((i * (2 ** 48 - 1 - 2_000_000_000_000)) / 500)
      const hex = now.toString(16).padStart(12, '0')
      const counter = ((bytes[0]! << 8) | bytes[1]!) & 0x7ff
      const tail = Buffer.from(bytes.subarray(2)).toString('hex')
      const variant = ((bytes[2]! & 0x3f) | 0x80).toString(16)
      expect(createFactId(now, () => bytes)).toBe(
        `${hex.slice(0, 8)}-${hex.slice(8)}-7${counter.toString(16).padStart(3, '0')}-${variant}${tail.slice(2, 4)}-${tail.slice(4)}`,
      )
    }
  })
})

describe('isFactId', () => {
  it.each<[unknown, boolean]>([
    ['01a1fd14-8021-74a4-b1d0-39b84891fa5c', true],
    ['da727479-465c-56cb-a7bd-7670d7098541', true],
    ['01A1FD14-8021-74A4-B1D0-39B84891FA5C', false],
    ['01a1fd14802174a4b1d039b84891fa5c', false],
    ['01a1fd14-8021-74a4-b1d0-39b84891fa5c\n', false],
    ['', false],
    [undefined, false],
  ])('%s: %s', (value, is) => expect(isFactId(value)).toBe(is))
})
