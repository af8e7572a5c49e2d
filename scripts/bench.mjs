// `npm run bench`: the short set; the whole one is docs/performance.md's commands.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ensureInstalled } from './ensure-installed.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const SHORT = [
  ['bench/hot-path.mts', '--facts', '200000', '--rounds', '3'],
  ['bench/relay.mts', '--workload', 'w1', '--rounds', '1', '--facts', '100000'],
  ['bench/relay.mts', '--workload', 'w2', '--rounds', '1', '--facts', '200000'],
  ['bench/latency.mts', '--rounds', '1', '--seconds', '4'],
]
await ensureInstalled()
for (const [script, ...args] of SHORT) {
  console.log(`\n${script} ${args.join(' ')}`)
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', script, ...args], { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
