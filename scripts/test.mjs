// `npm test`: everything, on a fresh clone, against real servers. Its last line is `N passed, N failed`; what did not run failed.
//
//   npm test                      types, then every vitest project
//   npm test -- test/relay        types, then the files whose path contains test/relay
//   node scripts/test.mjs --lint  also format and lint first (.ci/run)
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureInstalled } from './ensure-installed.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const filters = process.argv.slice(2).filter((argument) => argument !== '--lint')
let passed = 0
const failures = []

await main()
for (const failure of failures) console.log(`failed: ${failure}`)
console.log(`${passed} passed, ${failures.length} failed`)
process.exitCode = failures.length > 0 || passed === 0 ? 1 : 0

async function main() {
  try {
    await ensureInstalled()
  } catch (error) {
    failures.push(`installation: ${error.message}`)
    return
  }
  if (process.argv.includes('--lint')) count('format and lint', node('@biomejs/biome/bin/biome', ['ci', '.']))
  count('types', node('typescript/bin/tsc', ['-p', 'tsconfig.json', '--noEmit']))
  runTests()
}

function runTests() {
  const folder = mkdtempSync(join(tmpdir(), 'factlib-test-'))
  const counts = join(folder, 'counts.json')
  const reporters = ['--reporter=default', '--reporter=./scripts/count-reporter.mjs']
  const code = node('vitest/vitest.mjs', ['run', ...reporters, ...filters], { FACTLIB_TEST_COUNTS: counts })
  try {
    const result = JSON.parse(readFileSync(counts, 'utf8'))
    passed += result.passed
    failures.push(...result.failures)
    if (filters.length === 0)
      failures.push(...result.emptyProjects.map((name) => `no test was found in the project ${name}`))
    if (result.passed === 0 && result.failures.length === 0) failures.push('no test was found')
    if (code !== 0 && result.failures.length === 0) failures.push(`vitest exited with ${code}`)
  } catch {
    failures.push(`vitest did not finish (exit ${code})`)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function count(name, code) {
  if (code === 0) passed += 1
  else failures.push(name)
}

/** Runs a tool of node_modules by its file, so that no shell and no PATH comes between; its exit code. */
function node(tool, args, env = {}) {
  const { status } = spawnSync(process.execPath, [join(root, 'node_modules', tool), ...args], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  })
  return status ?? 1
}
