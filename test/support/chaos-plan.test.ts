import { expect, it } from 'vitest'
import { planFaults } from './chaos-plan.ts'

function take(seed: number, count: number) {
  const plan = planFaults(seed)
  return Array.from({ length: count }, () => plan.next().value)
}

it('a seed means the same faults each time, another seed others', () => {
  expect(take(1, 50)).toEqual(take(1, 50))
  expect(take(1, 50)).not.toEqual(take(2, 50))
})

it('every kind comes sooner or later', () => {
  expect(new Set(take(3, 2_000).map(({ kind }) => kind)).size).toBe(18)
})
