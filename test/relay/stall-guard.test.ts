import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { StallGuard } from '../../relay/stall-guard.ts'

// A relay that stood still may have lost its slot to another: it asks before it produces on.

const LIMIT_MS = 1_000
const clock = { monotonic: 0, wall: 0, monotonicMs: () => clock.monotonic, wallMs: () => clock.wall }
const pass = (monotonicMs: number, wallMs = monotonicMs) => {
  clock.monotonic += monotonicMs
  clock.wall += wallMs
}

let guard: StallGuard
let lost: number
let asked: number
let answer: () => Promise<boolean>

beforeEach(() => {
  vi.useFakeTimers()
  clock.monotonic = 5_000
  clock.wall = 1e12
  lost = 0
  asked = 0
  answer = async () => true
  guard = new StallGuard(() => lost++, clock)
  guard.watch(LIMIT_MS, () => {
    asked++
    return answer()
  })
})
afterEach(() => {
  guard.stop()
  vi.useRealTimers()
})

it('asks nobody while the process goes on', async () => {
  for (let tick = 0; tick < 50; tick++) {
    pass(200)
    await vi.advanceTimersByTimeAsync(200)
    expect(guard.isFresh).toBe(true)
  }
  await guard.whenFresh()
  expect(asked).toBe(0)
})

describe('after it stood still', () => {
  const STALLS: readonly [string, () => void][] = [
    ['by both clocks', () => pass(LIMIT_MS + 1)],
    ['while the machine slept, which only the wall clock saw', () => pass(0, LIMIT_MS + 1)],
    ['while the wall clock was put back', () => pass(LIMIT_MS + 1, -60_000)],
  ]

  it.each(STALLS)('is not fresh before the server has said that the slot is still ours (%s)', async (_, stall) => {
    stall()
    expect(guard.isFresh).toBe(false)
    const asking = guard.whenFresh()
    expect(guard.isFresh).toBe(false)
    await asking
    expect(guard.isFresh).toBe(true)
    expect([asked, lost]).toEqual([1, 0])
  })

  it('asks by itself when nothing is to be produced', async () => {
    pass(LIMIT_MS + 1)
    await vi.advanceTimersByTimeAsync(200)
    expect([asked, lost]).toEqual([1, 0])
    expect(guard.isFresh).toBe(true)
  })

  it('asks once, however many wait for the answer', async () => {
    pass(LIMIT_MS + 1)
    await Promise.all([guard.whenFresh(), guard.whenFresh(), guard.whenFresh()])
    expect(asked).toBe(1)
  })

  it.each<[string, () => Promise<boolean>]>([
    ['the slot is not ours any more', async () => false],
    ['the server cannot be asked', () => Promise.reject(new Error('gone'))],
  ])('lets go when %s', async (_, said) => {
    answer = said
    pass(LIMIT_MS + 1)
    await guard.whenFresh()
    expect(lost).toBe(1)
  })

  it('asks nothing for a connection that is over', async () => {
    guard.stop()
    pass(LIMIT_MS + 1)
    await vi.advanceTimersByTimeAsync(1_000)
    expect([asked, guard.isFresh]).toEqual([0, true])
  })
})
