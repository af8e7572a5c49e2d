/**
 * JSON lines with pino, and what must never be in one: known secrets are replaced in every text, keys that sound like a
 * secret lose their value, bytes (a payload) become their length.
 */
import { type DestinationStream, destination, pino, stdTimeFunctions } from 'pino'
import type { RelayLogger } from '../types.ts'

export interface LoggerOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent'
  /** Texts that are replaced by `***` wherever they turn up. */
  readonly secrets?: readonly string[]
  /** Where lines go. Default: stdout, written at once, so that the last line before an exit is not lost. */
  readonly stream?: DestinationStream
}

const SECRET_KEY =
  /passw|secret|token|authorization|credential|passphrase|private_?key|database_?url|connection_?string/i
/** Shorter ones would turn up in ordinary words. */
const SECRET_LENGTH_MIN = 4
const DEPTH_MAX = 5

/**
 * A logger that writes one JSON object a line: `level`, `time` (ISO 8601), the fields, `msg`.
 *
 * @example
 * ```ts
 * const logger = createLogger({ level: 'info', secrets: ['hunter22'] })
 * logger.info({ slot: 'factlib_slot' }, 'streaming')
 * ```
 */
export function createLogger(options: LoggerOptions): RelayLogger {
  const stream = options.stream ?? destination({ fd: 1, sync: true })
  const lines = pino(
    {
      level: options.level,
      base: { name: 'factlib-relay' },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // Errors are made into plain objects by the redactor, whatever their key.
      serializers: {},
    },
    stream,
  )
  const redactor = createRedactor(options.secrets ?? [])
  const line = (level: 'debug' | 'info' | 'warn' | 'error') => (fields: object, message: string) => {
    if (!lines.isLevelEnabled(level)) return
    const plain = redactor.value(fields)
    lines[level](typeof plain === 'object' && plain !== null ? plain : { value: plain }, redactor.text(message))
  }
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
}

/** Takes secrets out of texts and of values that are to be logged. */
export interface Redactor {
  text(text: string): string
  value(value: unknown): unknown
}

export function createRedactor(secrets: readonly string[]): Redactor {
  // A password is in a URL in its encoded form; the longest first, so that a secret within another leaves no rest.
  const forms = [...new Set(secrets.flatMap((secret) => [secret, encodeURIComponent(secret)]))]
    .filter((form) => form.length >= SECRET_LENGTH_MIN)
    .sort((a, b) => b.length - a.length)
  const text = (input: string): string => {
    let output = input
    for (const form of forms) output = output.replaceAll(form, '***')
    return output.replace(/(:\/\/[^\s:/@]*):[^\s@/]+@/g, '$1:***@')
  }
  const value = (input: unknown, depth = 0): unknown => {
    if (typeof input === 'string') return text(input)
    if (typeof input === 'bigint') return String(input)
    if (typeof input !== 'object' || input === null) return typeof input === 'function' ? '[function]' : input
    if (input instanceof Error) return errorFields(input, depth)
    if (ArrayBuffer.isView(input)) return `[${input.byteLength} bytes]`
    if (input instanceof Date) return Number.isNaN(input.getTime()) ? null : input.toISOString()
    if (depth >= DEPTH_MAX) return '[…]'
    if (Array.isArray(input)) return input.map((item) => value(item, depth + 1))
    return Object.fromEntries(
      Object.entries(input).map(([key, item]) => [key, SECRET_KEY.test(key) ? '***' : value(item, depth + 1)]),
    )
  }
  // Of an error only these: drivers hang whole connections and queries, with their values, onto theirs.
  const errorFields = (error: Error, depth: number): object => {
    const { code } = error as { code?: unknown }
    const ours = typeof code === 'string' && code.startsWith('FACTLIB_')
    return {
      type: error.name,
      ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
      message: text(error.message),
      // An error of ours says what is wrong and what to do; of others, the place helps.
      ...(ours || error.stack === undefined ? {} : { stack: text(error.stack) }),
      ...(error.cause === undefined || depth >= DEPTH_MAX ? {} : { cause: value(error.cause, depth + 1) }),
    }
  }
  return { text, value: (input) => value(input) }
}
