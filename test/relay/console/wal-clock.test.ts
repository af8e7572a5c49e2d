import { expect, it } from 'vitest'
import { WalClock } from '../../../relay/console/wal-clock.ts'

it('tells how old a position is by when the WAL passed it', () => {
  const clock = new WalClock()
  expect(clock.ageOf(0, 0)).toBeUndefined()
  clock.look(0, 100_000)
  clock.look(2_000, 300_000)
  expect(clock.ageOf(200_000, 2_000)).toEqual({ seconds: 1, isAtLeast: false })
  expect(clock.ageOf(300_000, 9_000)).toEqual({ seconds: 0, isAtLeast: false })
  // What a server writes by itself is no lag.
  expect(clock.ageOf(299_500, 9_000)).toEqual({ seconds: 0, isAtLeast: false })
  expect(clock.ageOf(50_000, 9_000)).toEqual({ seconds: 9, isAtLeast: true })
})

it('begins again on a server whose WAL ends before what was seen', () => {
  const clock = new WalClock()
  clock.look(0, 900_000)
  clock.look(1_000, 100_000)
  expect(clock.ageOf(50_000, 3_000)).toEqual({ seconds: 2, isAtLeast: true })
})

it('remembers an hour of looks, not more', () => {
  const clock = new WalClock()
  for (let look = 0; look < 3_000; look++) clock.look(look * 2_000, (look + 1) * 10_000)
  expect(clock.ageOf(10_000, 5_998_000)).toEqual({ seconds: 3_598, isAtLeast: true })
})
