import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { guard } from '../../test/support/services/watchdog.ts'
import { aside } from './terminal.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** The variables that OwlPost has; a relay of your own takes the same. */
export interface RelayVariables {
  readonly WAL_PREFIX: string
  readonly MASTER_DATABASE_URL: string
  readonly KAFKA_BROKERS: string
  readonly REPLICATION_SLOT_NAME: string
  readonly PUBLICATION_NAME: string
}

export interface RelayProcess {
  readonly pid: number
  /** Resolves to the addresses of `/health` and `/metrics` when facts are streaming. */
  readonly whenStreaming: Promise<{ readonly health: string; readonly metrics: string }>
  /** Rejects when it ends without being asked to. */
  readonly whenBroken: Promise<never>
  /** SIGKILL: nothing is drained, nothing is confirmed any more. */
  kill(): Promise<void>
  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number | null>
}

/** Starts the real `factlib-relay`, in a process of its own that does not outlive this one. `cwd`: a folder without `.env`. */
export function startRelayProcess(variables: RelayVariables, cwd: string): RelayProcess {
  const child = spawn(process.execPath, relayCommand(), {
    cwd,
    env: {
      PATH: process.env['PATH'],
      ...variables,
      HTTP_HOST: '127.0.0.1',
      WAL_HEALTH_PORT: '0',
      METRICS_PORT: '0',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    // In a group of its own: Ctrl-C in a terminal is for the demo, which then stops the relay.
    detached: true,
  })
  const pid = child.pid
  if (pid === undefined) throw new Error('the relay could not be started')
  const release = guard({ kind: 'process', pid, signal: 'SIGKILL' })
  const exited = new Promise<number | null>((resolve) => {
    child.once('close', (code) => {
      release()
      resolve(code)
    })
  })
  let asked = false
  const lastLines: string[] = []
  const whenBroken = exited.then((code) => {
    if (asked) return new Promise<never>(() => {})
    throw new Error(`the relay ended by itself (exit ${code}):\n${lastLines.join('\n')}`)
  })
  whenBroken.catch(() => {})
  const whenStreaming = readLog(child, lastLines)
  const end = (signal: NodeJS.Signals): Promise<number | null> => {
    asked = true
    child.kill(signal)
    return exited
  }
  return {
    pid,
    whenStreaming,
    whenBroken,
    kill: async () => void (await end('SIGKILL')),
    stop: () => end('SIGTERM'),
  }
}

/** Of the build when there is one that is newer than the sources, else of the sources. */
function relayCommand(): string[] {
  const built = join(ROOT, 'dist/cli.js')
  const builtAt = statSync(built, { throwIfNoEntry: false })?.mtimeMs ?? 0
  const changedAt = Math.max(...['src', 'relay'].map((folder) => newest(join(ROOT, folder))))
  if (builtAt > changedAt) return [built]
  return ['--import', import.meta.resolve('tsx'), join(ROOT, 'relay/cli/main.ts')]
}

function newest(folder: string): number {
  return Math.max(
    ...readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => statSync(join(folder, name)).mtimeMs),
  )
}

function readLog(child: ChildProcess, lastLines: string[]): RelayProcess['whenStreaming'] {
  return new Promise((resolve) => {
    let [health, metrics] = ['', '']
    const keep = (line: string): void => {
      lastLines.push(line)
      if (lastLines.length > 10) lastLines.shift()
    }
    if (child.stderr) createInterface({ input: child.stderr }).on('line', keep)
    if (!child.stdout) return
    createInterface({ input: child.stdout }).on('line', (line) => {
      keep(line)
      if (!line.startsWith('{')) return
      const { msg, healthPort, metricsPort } = JSON.parse(line) as Record<string, unknown>
      aside(`relay ${child.pid}: ${msg}`)
      if (healthPort !== undefined) health = `http://127.0.0.1:${healthPort}/health`
      if (metricsPort !== undefined) metrics = `http://127.0.0.1:${metricsPort}/metrics`
      if (msg === 'streaming') resolve({ health, metrics })
    })
  })
}
