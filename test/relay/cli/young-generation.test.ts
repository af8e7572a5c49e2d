import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { expect, it, onTestFinished } from 'vitest'
import { limitYoungGeneration } from '../../../relay/cli/young-generation.ts'

it('keeps the young generation near its limit, whatever lives through it', async () => {
  onTestFinished(() => setFlagsFromString('--semi-space-growth-factor=2'))
  limitYoungGeneration(4 * 1024 * 1024)
  let most = 0
  let kept: object[] = []
  for (let turn = 0; turn < 2_000; turn++) {
    for (let i = 0; i < 2_000; i++) kept.push({ i, list: [i] })
    if (kept.length > 60_000) kept = kept.slice(30_000)
    const space = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')
    most = Math.max(most, space?.space_size ?? 0)
    await new Promise(setImmediate)
  }
  expect(most).toBeLessThanOrEqual(16 * 1024 * 1024)
})
