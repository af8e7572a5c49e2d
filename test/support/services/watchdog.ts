import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Something that must not outlive this process. */
export type Guarded =
  | { readonly kind: 'process'; readonly pid: number; readonly signal: NodeJS.Signals }
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'command'; readonly argv: readonly string[] }

let watchdog: ChildProcess | undefined

/**
 * Has this ended (process), removed (folder) or run (command) when this process is gone, however it ends, SIGKILL included.
 *
 * @example
 * const release = guard({ kind: 'process', pid: server.pid, signal: 'SIGKILL' })
 * // … stopped in good order:
 * release()
 * @returns a function that takes it off the list again
 */
export function guard(what: Guarded): () => void {
  const { kind, ...rest } = what
  tell({ add: kind, ...rest })
  return () => tell({ drop: kind, ...rest })
}

function tell(line: object): void {
  watchdog ??= startWatchdog()
  watchdog.stdin?.write(`${JSON.stringify(line)}\n`)
}

function startWatchdog(): ChildProcess {
  const script = fileURLToPath(new URL('./watchdog.mjs', import.meta.url))
  // In a group of its own: Ctrl-C in a terminal reaches this process and its servers, not the one that clears up after them.
  const child = spawn(process.execPath, [script], { detached: true, stdio: ['pipe', 'ignore', 'ignore'], env: {} })
  child.unref()
  unrefStream(child.stdin)
  child.stdin?.on('error', () => {})
  return child
}

function unrefStream(stream: unknown): void {
  if (stream && typeof stream === 'object' && 'unref' in stream && typeof stream.unref === 'function') stream.unref()
}
