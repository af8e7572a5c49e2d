import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findNode24 } from './node24.ts'
import { ROOT, startProcess } from './process.ts'

interface Counts {
  readonly passed: number
  readonly failures: readonly string[]
}

/**
 * Runs one test file under Node.js 24 with the servers of this run.
 *
 * @throws with its output when a test failed or none ran
 */
export async function runUnderNode24(
  file: string,
  options: { readonly env: Readonly<Record<string, string>>; readonly timeoutMs: number },
): Promise<Counts> {
  const folder = await mkdtemp(join(tmpdir(), 'factlib-node24-'))
  const counts = join(folder, 'counts.json')
  try {
    const vitest = ['node_modules/vitest/vitest.mjs', 'run', '--project', 'extended', '--reporter=default']
    const args = [...vitest, '--reporter=./scripts/count-reporter.mjs', file]
    const env = { FACTLIB_TEST_COUNTS: counts, ...options.env }
    const child = startProcess(await findNode24(), args, { cwd: ROOT, env })
    await child.whenExited(options.timeoutMs)
    if (!existsSync(counts)) throw new Error(`vitest did not finish under Node.js 24:\n${child.output().slice(-4_000)}`)
    const result = JSON.parse(await readFile(counts, 'utf8')) as Counts
    if (result.passed === 0 || result.failures.length > 0)
      throw new Error(`under Node.js 24 failed:\n${result.failures.join('\n')}\n${child.output().slice(-8_000)}`)
    return result
  } finally {
    await rm(folder, { recursive: true })
  }
}
