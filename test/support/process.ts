import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { registerCleanup } from './cleanup.ts'
import { guard } from './services/watchdog.ts'

/** The root of the package, where processes run. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url))

export interface ProcessOptions {
  /** Added to an environment without any of the variables that the relay, pg or Sentry read. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Default: the root of the package. */
  readonly cwd?: string
}

export interface ProcessExit {
  /** Null when a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

type LineTest = RegExp | string | ((line: string) => boolean)

export interface TestProcess {
  readonly pid: number
  /** All that it wrote so far, standard output and error in the order in which they came. */
  output(): string
  /**
   * The first line, of those written and those to come, that matches (string: contains; function: true). Default 15,000 ms.
   *
   * @throws when it exits or the time is over first, with the end of its output
   */
  whenLine(what: LineTest, timeoutMs?: number): Promise<string>
  /** @throws when it has not exited in time. Default 15,000 ms. */
  whenExited(timeoutMs?: number): Promise<ProcessExit>
  signal(signal: NodeJS.Signals): void
  /** SIGKILL, and waits for the exit. */
  kill(): Promise<ProcessExit>
}

/** What a developer's shell may hold and a test's process must not see. */
const FOREIGN =
  /^(PG|FACTLIB_|KAFKA_|SENTRY_|WAL_|METRICS_|REPLICATION_|PUBLICATION_|SLOT_|LOG_LEVEL$|APP_NAME$|SRC_SERVICE_NAME$|.*DATABASE_URL$|NODE_OPTIONS$|VITEST|NODE_ENV$)/

/**
 * Runs a TypeScript or JavaScript file in a Node process of its own, which is killed at the end of the test or file at the latest.
 *
 * @example
 * const relay = startNode('relay/cli/main.ts', ['run'], { env: { KAFKA_BROKERS: brokers.join(',') } })
 * await relay.whenLine('streaming')
 * await relay.kill()
 */
export function startNode(file: string, args: readonly string[] = [], options: ProcessOptions = {}): TestProcess {
  const loader = /\.[cm]?ts$/.test(file) ? ['--import', 'tsx'] : []
  return startProcess(process.execPath, [...loader, file, ...args], options)
}

/** The same for any program; its arguments are not seen by a shell. */
export function startProcess(command: string, args: readonly string[], options: ProcessOptions = {}): TestProcess {
  const inherited = Object.entries(process.env).filter(([name]) => !FOREIGN.test(name))
  const child = spawn(command, [...args], {
    cwd: options.cwd ?? ROOT,
    env: { ...Object.fromEntries(inherited), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: kill() reaches what it started, too.
    detached: true,
  })
  const started = new SpawnedProcess(child, [command, ...args].join(' '))
  registerCleanup(async () => {
    await started.kill()
  })
  return started
}

class SpawnedProcess implements TestProcess {
  readonly #child: ChildProcess
  readonly #name: string
  readonly #exit: Promise<ProcessExit>
  readonly #listeners = new Set<() => void>()
  #output = ''
  #exited: ProcessExit | undefined

  constructor(child: ChildProcess, name: string) {
    this.#child = child
    this.#name = name
    const release = child.pid === undefined ? () => {} : guard({ kind: 'process', pid: child.pid, signal: 'SIGKILL' })
    // 'close', not 'exit': its last lines have then been read.
    this.#exit = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => {
        release()
        this.#exited = { code, signal }
        resolve(this.#exited)
        this.#notify()
      })
    })
    this.#exit.catch(() => {})
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8')
      stream?.on('data', (text: string) => {
        this.#output += text
        this.#notify()
      })
    }
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.#name} could not be started`)
    return this.#child.pid
  }

  output(): string {
    return this.#output
  }

  whenLine(what: LineTest, timeoutMs = 15_000): Promise<string> {
    const matches = (line: string): boolean => {
      if (typeof what === 'function') return what(line)
      return typeof what === 'string' ? line.includes(what) : what.test(line)
    }
    const find = (): string | undefined => this.#completeLines().find(matches)
    return this.#when(find, `write a line like ${what}`, timeoutMs)
  }

  async whenExited(timeoutMs = 15_000): Promise<ProcessExit> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.#error(`did not exit within ${timeoutMs} ms`)), timeoutMs)
    })
    return Promise.race([this.#exit, late]).finally(() => clearTimeout(timer))
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async kill(): Promise<ProcessExit> {
    if (!this.#exited && this.#child.pid !== undefined) {
      try {
        process.kill(-this.#child.pid, 'SIGKILL')
      } catch {
        // It has just exited by itself.
      }
    }
    return this.#exit
  }

  /** Without the one that is still being written. */
  #completeLines(): string[] {
    const lines = this.#output.split('\n')
    const last = lines.pop()
    return this.#exited && last ? [...lines, last] : lines
  }

  #when<T>(find: () => T | undefined, what: string, timeoutMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        clearTimeout(timer)
        this.#listeners.delete(look)
        act()
      }
      const look = (): void => {
        const found = find()
        if (found !== undefined) settle(() => resolve(found))
        else if (this.#exited) {
          const { code, signal } = this.#exited
          settle(() => reject(this.#error(`exited (${code ?? signal}) and did not ${what}`)))
        }
      }
      const timer = setTimeout(
        () => settle(() => reject(this.#error(`did not ${what} within ${timeoutMs} ms`))),
        timeoutMs,
      )
      this.#listeners.add(look)
      look()
    })
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener()
  }

  #error(what: string): Error {
    return new Error(`${this.#name} ${what}\n--- end of its output ---\n${this.#output.slice(-4_000).trimEnd()}\n---`)
  }
}
