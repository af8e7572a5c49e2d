// Outlives its parent by a moment, also when the parent is killed with SIGKILL, and ends what the parent had started.
//
// The parent writes one JSON line a change on our standard input; the end of that input is the parent's death (or its exit).
//   { "add": "process", "pid": 1, "signal": "SIGQUIT" }   the signal first, SIGKILL to its whole group after 3 s
//   { "add": "folder", "path": "/tmp/x" }                 removed last
//   { "add": "command", "argv": ["docker", "rm", …] }     run
//   { "drop": "process" | "folder" | "command", … }       no longer ours to end
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'

const GRACE_MS = 3_000
/** @type {Map<string, any>} */
const entries = new Map()

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {})

const lines = createInterface({ input: process.stdin })
lines.on('line', (line) => {
  const entry = JSON.parse(line)
  const kind = entry.add ?? entry.drop
  const key = JSON.stringify([kind, entry.pid ?? entry.path ?? entry.argv])
  if (entry.add) entries.set(key, entry)
  else entries.delete(key)
})
lines.on('close', endEverything)

function endEverything() {
  const all = [...entries.values()]
  const processes = all.filter((entry) => entry.add === 'process')
  for (const { pid, signal } of processes) send(pid, signal)
  for (const { argv } of all.filter((entry) => entry.add === 'command'))
    spawnSync(argv[0], argv.slice(1), { stdio: 'ignore' })
  const started = Date.now()
  const timer = setInterval(() => {
    const alive = processes.filter(({ pid }) => send(pid, 0))
    if (alive.length > 0 && Date.now() - started < GRACE_MS) return
    for (const { pid } of alive) {
      send(-pid, 'SIGKILL')
      send(pid, 'SIGKILL')
    }
    for (const { path } of all.filter((entry) => entry.add === 'folder')) {
      rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
    }
    clearInterval(timer)
    process.exit(0)
  }, 25)
}

function send(pid, signal) {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}
