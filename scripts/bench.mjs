// `npm run bench`: the short set, in under 5 minutes. What is longer, or needs a program of others, is in docs/performance.md.
//   bench/results/ (ignored by git) then holds a JSON of each part, bench.json with all of them, and the plot.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ensureInstalled } from './ensure-installed.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const results = 'bench/results'
/** Name of the JSON → script and its options. */
const SHORT = {
  'hot-path': ['bench/hot-path.mts', '--facts', '200000', '--rounds', '3'],
  w1: ['bench/relay.mts', '--workload', 'w1', '--rounds', '1', '--facts', '100000'],
  w2: ['bench/relay.mts', '--workload', 'w2', '--rounds', '1', '--facts', '200000'],
  sweep: [
    'bench/sweep.mts',
    ...['--backlog', '10000,200000', '--topics', '1,20', '--facts', '100000'],
    ...['--rounds', '1', '--clients', 'platformatic'],
  ],
  latency: ['bench/latency.mts', '--rounds', '1', '--seconds', '4'],
}
await ensureInstalled()
mkdirSync(`${root}${results}`, { recursive: true })
const startedMs = Date.now()
const all = {}
for (const [name, [script, ...args]] of Object.entries(SHORT)) {
  console.log(`\n${script} ${args.join(' ')}`)
  const json = `${results}/${name}.json`
  run(script, ...args, '--json', json)
  all[name] = JSON.parse(readFileSync(`${root}${json}`, 'utf8'))
}
writeFileSync(`${root}${results}/bench.json`, `${JSON.stringify(all, undefined, 2)}\n`)
run('bench/plot.mts', '--out', `${results}/performance.svg`, `${results}/w1.json`, `${results}/w2.json`)
console.log(`\n${Math.round((Date.now() - startedMs) / 1000)} s; ${results}/bench.json, ${results}/performance.svg`)

function run(...args) {
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', ...args], { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
