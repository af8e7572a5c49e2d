import { createInterface } from 'node:readline/promises'
import type { ReadStream, WriteStream } from 'node:tty'
import { CliError } from './cli-error.ts'

/** Paints a text; the identity where there is no terminal, or `NO_COLOR` is set (https://no-color.org). */
export type Paint = (text: string) => string

/** What a command writes to and asks through; a test hands in its own. */
export interface Terminal {
  /** To standard output, as it is. */
  write(text: string): void
  /** To standard error: what is not the command's result. */
  note(text: string): void
  /** A person reads standard output: live lines are fine. */
  readonly isLive: boolean
  /** Columns of standard output. */
  readonly width: number
  readonly paint: { readonly [name in 'bold' | 'dim' | 'red' | 'green' | 'yellow']: Paint }
  /**
   * Asks a question that only `yes` answers; anything else is no.
   *
   * @throws CliError where nobody can answer: `--yes` is the way then.
   */
  confirm(question: string): Promise<boolean>
}

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const

export function createTerminal(
  process: {
    readonly stdin: NodeJS.ReadableStream & Partial<Pick<ReadStream, 'isTTY'>>
    readonly stdout: NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY' | 'columns'>>
    readonly stderr: NodeJS.WritableStream
    readonly env: Readonly<Record<string, string | undefined>>
  } = globalThis.process,
): Terminal {
  const { stdin, stdout, stderr, env } = process
  const isLive = stdout.isTTY === true && env['TERM'] !== 'dumb'
  const coloured = isLive && !env['NO_COLOR']
  const paint = (name: keyof typeof CODES): Paint => {
    return coloured ? (text) => `\x1b[${CODES[name]}m${text}\x1b[0m` : (text) => text
  }
  return {
    write: (text) => void stdout.write(text),
    note: (text) => void stderr.write(text),
    isLive,
    width: stdout.columns ?? 100,
    paint: {
      bold: paint('bold'),
      dim: paint('dim'),
      red: paint('red'),
      green: paint('green'),
      yellow: paint('yellow'),
    },
    async confirm(question) {
      if (stdin.isTTY !== true) throw new CliError(`${question}\nNobody is here to answer: give --yes to mean it.`)
      const lines = createInterface({ input: stdin, output: stderr })
      try {
        return (await lines.question(`${question} Type "yes" to go on: `)).trim().toLowerCase() === 'yes'
      } finally {
        lines.close()
      }
    },
  }
}

/** One JSON value on a line of its own; bigints as text, so that no digit is lost. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? String(item) : item))}\n`
}

/** Columns under their titles, as wide as they need to be; the last one is not padded. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = titles.map((title, index) => Math.max(title.length, ...rows.map((row) => (row[index] ?? '').length)))
  const line = (cells: readonly string[]) =>
    `${cells
      .map((cell, index) => (index === titles.length - 1 ? cell : cell.padEnd(widths[index] ?? 0)))
      .join('  ')
      .trimEnd()}\n`
  return [titles, ...rows].map(line).join('')
}

/** @example formatBytes(1_572_864) // '1.5 MiB' */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const step = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** step
  return `${step === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[step]}`
}

/** @example formatSeconds(3_723) // '1 h 2 min' */
export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`
  if (seconds < 60) return `${Math.round(seconds)} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/**
 * A text of somebody else's (a key, an event type, a header) for a terminal: control characters, which could move the
 * cursor or colour the screen, are shown as escapes.
 */
export function printable(text: string, most = 200): string {
  const safe = text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return safe.length > most ? `${safe.slice(0, most)}…` : safe
}
