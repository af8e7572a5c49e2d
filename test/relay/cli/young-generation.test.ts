import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const MODULE = new URL('../../../relay/cli/young-generation.ts', import.meta.url).href

/** In a process of its own: a young generation that has grown before does not get smaller. Prints its largest size, in MiB. */
const script = (limitMiB: number) => `
import { getHeapSpaceStatistics } from 'node:v8'
const { limitYoungGeneration } = await import('${MODULE}')
limitYoungGeneration(${limitMiB} * 1024 * 1024)
const size = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space').space_size
const before = size()
let most = 0
let kept = []
for (let turn = 0; turn < 2_000; turn++) {
  for (let i = 0; i < 2_000; i++) kept.push({ i, list: [i] })
  if (kept.length > 60_000) kept = kept.slice(30_000)
  most = Math.max(most, size())
  await new Promise(setImmediate)
}
console.log(JSON.stringify([before, most].map((bytes) => bytes / 1024 / 1024)))
`

async function mostMiB(limitMiB: number): Promise<[before: number, most: number]> {
  const args = ['--max-semi-space-size=64', '--min-semi-space-size=1', '--import', 'tsx', '--input-type=module']
  const { stdout } = await promisify(execFile)(process.execPath, [...args, '--eval', script(limitMiB)])
  return JSON.parse(stdout)
}

it('keeps the young generation near its limit, whatever lives through it', async () => {
  const [[before, limited], [, free]] = await Promise.all([mostMiB(4), mostMiB(1_000)])
  // One doubling, at most two between a collection and its observer.
  expect(limited).toBeLessThanOrEqual(Math.max(before, 4) * 4)
  expect(free).toBeGreaterThan(limited)
})
