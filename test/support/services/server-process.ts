import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { guard } from './watchdog.ts'

export interface ServerCommand {
  /** What it is, for messages: `PostgreSQL 18`. */
  readonly name: string
  readonly file: string
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  readonly user?: { readonly uid: number; readonly gid: number } | undefined
  /** The line of its log that says that it serves. */
  readonly readyLine: RegExp
  readonly startTimeoutMs: number
  /** What the watchdog sends first when this process dies. */
  readonly orphanSignal: NodeJS.Signals
}

export interface ServerProcess {
  readonly pid: number
  /** The last 64 KiB of its log. */
  log(): string
  signal(signal: NodeJS.Signals): void
  /** Resolves when it has exited, whoever ended it. */
  whenExited(): Promise<void>
  readonly exited: boolean
}

/** A server that ended or hung before it was ready; `log` is the end of what it said. */
export class ServerStartError extends Error {
  readonly log: string
  constructor(message: string, log: string) {
    super(`${message}\n--- end of its log ---\n${log.slice(-4_000).trimEnd()}\n---`)
    this.name = 'ServerStartError'
    this.log = log
  }
}

const LOG_LIMIT = 64 * 1024

/**
 * Starts a server and resolves when its log says that it is ready; the watchdog ends it when this process dies.
 *
 * @throws {ServerStartError} when it exits first, or says nothing of the kind within `startTimeoutMs`
 */
export async function startServerProcess(command: ServerCommand): Promise<ServerProcess> {
  const child = spawn(command.file, [...command.args], {
    cwd: command.cwd,
    env: command.env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...command.user,
  })
  const exit = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  const spawnError = once(child, 'error').then(([error]) => error as Error)
  if (child.pid === undefined) throw new Error(`${command.name} could not be run: ${(await spawnError).message}`)
  spawnError.catch(() => {})
  const pid = child.pid
  const release = guard({ kind: 'process', pid, signal: command.orphanSignal })
  const server = new LoggedProcess(child, pid, exit)
  void exit.then(release)
  try {
    await server.whenLogged(command.readyLine, command.name, command.startTimeoutMs)
  } catch (error) {
    server.signal('SIGKILL')
    await exit
    throw error
  }
  server.unref()
  return server
}

class LoggedProcess implements ServerProcess {
  readonly pid: number
  readonly #child: ChildProcess
  readonly #exit: Promise<void>
  #log = ''
  #onLog: (() => void) | undefined
  exited = false

  constructor(child: ChildProcess, pid: number, exit: Promise<void>) {
    this.#child = child
    this.pid = pid
    this.#exit = exit.then(() => {
      this.exited = true
    })
    for (const stream of this.#streams()) {
      stream.setEncoding('utf8')
      stream.on('data', (text: string) => {
        this.#log = (this.#log + text).slice(-LOG_LIMIT)
        this.#onLog?.()
      })
    }
  }

  log(): string {
    return this.#log
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async whenExited(): Promise<void> {
    if (this.exited) return
    this.#child.ref()
    await this.#exit
  }

  whenLogged(line: RegExp, name: string, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: Error): void => {
        clearTimeout(timer)
        this.#onLog = undefined
        if (error) reject(error)
        else resolve()
      }
      const timer = setTimeout(
        () => settle(new ServerStartError(`${name} was not ready within ${timeoutMs} ms`, this.#log)),
        timeoutMs,
      )
      this.#onLog = () => {
        if (line.test(this.#log)) settle()
      }
      // 'close', not 'exit': the last lines of the log have then been read.
      this.#child.once('close', (code, signal) =>
        settle(new ServerStartError(`${name} ended (${code ?? signal}) before it was ready`, this.#log)),
      )
    })
  }

  /** A running server does not keep this process alive; the watchdog ends it afterwards. */
  unref(): void {
    this.#child.unref()
    for (const stream of this.#streams()) if ('unref' in stream && typeof stream.unref === 'function') stream.unref()
  }

  #streams(): Readable[] {
    return [this.#child.stdout, this.#child.stderr].filter((stream) => stream !== null)
  }
}
