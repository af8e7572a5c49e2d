// `npm test`: everything, on a fresh clone, against real servers. Its last line is `N passed, N failed`; what did not run failed.
//
//   npm test                      types, then the vitest projects pure, servers and chaos
//   npm test -- test/relay        types, then the files whose path contains test/relay
//   node scripts/test.mjs --lint  also format and lint first (.ci/run)
//   node scripts/test.mjs --extended  then the project extended (.ci/run): faults on each Kafka client, exactly once, broken set-ups
//   node scripts/test.mjs --chaos  then minutes of random faults, by fixed seeds (.ci/run)
//   node scripts/test.mjs --node24  then the pure tests under Node 24 too (.ci/run)
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureInstalled } from './ensure-installed.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const flags = ['--lint', '--node24', '--extended', '--chaos']
const filters = process.argv.slice(2).filter((argument) => !flags.includes(argument))
/** Beside the minutes that are a test: an older server, the other client on three brokers, exactly once. */
const CHAOS = [
  ['--minutes', '2', '--seed', '15', '--postgres', '15'],
  ['--minutes', '2', '--seed', '24', '--client', 'platformatic', '--brokers', '3'],
  ['--minutes', '2', '--seed', '33', '--brokers', '3', '--exactly-once'],
]
/** Under the second Node version: the pure tests. */
const NODE24_PROJECTS = ['--project=pure']
const PROJECTS = ['--project=pure', '--project=servers', '--project=chaos']
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
  count("types of the console's page", node('typescript/bin/tsc', ['-p', 'relay/console/page', '--noEmit']))
  runTests(filters, process.execPath)
  if (process.argv.includes('--node24')) runTests(['test/src', 'test/relay'], findNode24(), NODE24_PROJECTS)
  if (process.argv.includes('--extended')) runTests([], process.execPath, ['--project=extended'])
  if (process.argv.includes('--chaos'))
    for (const args of CHAOS) count(`chaos ${args.join(' ')}`, node('tsx/dist/cli.mjs', ['scripts/chaos.ts', ...args]))
}

function findNode24() {
  const args = ['--import', 'tsx', join(root, 'scripts/node24.ts')]
  const { stdout, status } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return status === 0 ? stdout.trim() : undefined
}

function runTests(filters, binary, projects = PROJECTS) {
  if (!binary) {
    failures.push('Node.js 24 could not be had')
    return
  }
  const folder = mkdtempSync(join(tmpdir(), 'factlib-test-'))
  const counts = join(folder, 'counts.json')
  const reporters = ['--reporter=default', '--reporter=./scripts/count-reporter.mjs']
  const code = node(
    'vitest/vitest.mjs',
    ['run', ...projects, ...reporters, ...filters],
    { FACTLIB_TEST_COUNTS: counts },
    binary,
  )
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
function node(tool, args, env = {}, binary = process.execPath) {
  const { status } = spawnSync(binary, [join(root, 'node_modules', tool), ...args], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  })
  return status ?? 1
}
