import { expect, test } from 'vitest'
import { newClusterId } from './kafka-config.ts'

test('a cluster id never begins with a dash', () => {
  const ids = Array.from({ length: 5_000 }, newClusterId)
  expect(ids.filter((id) => !/^[A-Za-z0-9_][A-Za-z0-9_-]{21}$/.test(id))).toEqual([])
})
