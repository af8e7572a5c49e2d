import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { ROOT, startNode } from '../support/process.ts'

test('what did not run and pass counts as failed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'factlib-counts-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const counts = join(folder, 'counts.json')
  const reporter = `--reporter=${join(ROOT, 'scripts/count-reporter.mjs')}`
  const vitest = startNode(join(ROOT, 'node_modules/vitest/vitest.mjs'), ['run', reporter], {
    cwd: join(ROOT, 'test/fixtures/counts'),
    env: { FACTLIB_TEST_COUNTS: counts },
  })
  await vitest.whenExited()
  const { passed, failures, emptyProjects } = JSON.parse(await readFile(counts, 'utf8'))
  expect(passed).toBe(4)
  expect(failures.sort()).toEqual([
    'cases: broken.case.ts: cannot be loaded',
    'cases: broken.case.ts: no test in it',
    'cases: fails.case.ts > fails (failed)',
    'cases: fails.case.ts > is skipped (skipped)',
    'cases: fails.case.ts > is to do (skipped)',
    'cases: fails.case.ts: left behind',
    'unhandled: nobody caught it',
  ])
  expect(emptyProjects).toEqual(['nobody'])
})
