import { ConfigurationError } from './errors.ts'
import { checkPrefix } from './fact-rules.ts'
import { kindOf, type Serialize } from './payload.ts'
import type { TraceSource } from './trace/trace.ts'

/**
 * What holds for the whole process unless a fact or an emitter says otherwise, as Django's settings do. It is kept on
 * globalThis under a registered symbol: an ESM copy, a CJS copy and a bundled one of the package share it.
 */
export interface Defaults {
  /** WAL prefix, the first half of the topic. Default: the environment's `FACTLIB_PREFIX`, read when it is used. */
  readonly prefix?: string | undefined
  /** Where a fact's trace comes from. Default: none. */
  readonly trace?: TraceSource | undefined
  /** Makes bytes of payloads that are neither bytes nor a string. Default: JSON. */
  readonly serialize?: Serialize | undefined
  /** Largest envelope in bytes. Default: 1,000,000 (see `DEFAULT_MAX_FACT_BYTES`). */
  readonly maxFactBytes?: number | undefined
}

/** The defaults that hold now; only the prefix may be missing. */
export interface CurrentDefaults {
  readonly prefix: string | undefined
  readonly trace: TraceSource | undefined
  readonly serialize: Serialize | undefined
  readonly maxFactBytes: number
}

/**
 * 1,000,000 bytes of envelope fit surely into the 1,048,588 bytes that a Kafka broker takes by default
 * (`message.max.bytes`, which counts the whole record batch): besides the envelope there are at most 8,192 bytes of key
 * (aggregate id), 8,192 of event type and 16,384 of trace in headers, 38 of a derived id, 11 of a created-at, and under
 * 1,000 of batch header, record lengths and header names. That is 1,033,817; the rest is room for headers to come.
 */
export const DEFAULT_MAX_FACT_BYTES = 1_000_000

const STATE = Symbol.for('factlib.configuration')
const KEYS: readonly string[] = ['prefix', 'trace', 'serialize', 'maxFactBytes']

/**
 * Sets the defaults of this process; what is left out (or undefined) stays as it was. Call it once, before the first fact is built.
 *
 * @example
 * ```ts
 * configure({ prefix: 'shop', trace: sentryTrace(Sentry) })
 * ```
 * @throws ConfigurationError with every problem; nothing is changed then.
 */
export function configure(defaults: Defaults): void {
  const problems = defaultsProblems(defaults)
  if (problems.length > 0) throw new ConfigurationError(problems)
  const given = Object.fromEntries(Object.entries(defaults).filter(([, value]) => value !== undefined))
  store()[STATE] = Object.freeze({ ...store()[STATE], ...given })
}

/** The defaults that hold now. */
export function currentDefaults(): CurrentDefaults {
  return { prefix: defaultPrefix(), ...defaultsButPrefix() }
}

/** Without the prefix, which may be in the environment: that is not free to read, and a fact may have its own. */
export function defaultsButPrefix(): Omit<CurrentDefaults, 'prefix'> {
  const set = store()[STATE]
  return {
    trace: set?.trace,
    serialize: set?.serialize,
    maxFactBytes: set?.maxFactBytes ?? DEFAULT_MAX_FACT_BYTES,
  }
}

/** The prefix that holds now for facts without one; empty counts as not set, in both places. */
export function defaultPrefix(): string | undefined {
  return store()[STATE]?.prefix || process.env['FACTLIB_PREFIX'] || undefined
}

/** Forgets everything that `configure` set; for tests. */
export function resetConfiguration(): void {
  store()[STATE] = undefined
}

/** What is wrong with these settings; adapters use it for the options of their emitters. `moreKeys`: what else is allowed. */
export function defaultsProblems(defaults: unknown, moreKeys: readonly string[] = []): string[] {
  if (typeof defaults !== 'object' || defaults === null) return [`the settings are ${kindOf(defaults)}: give an object`]
  const problems: string[] = []
  for (const key of Object.keys(defaults)) {
    if (KEYS.includes(key) || moreKeys.includes(key)) continue
    problems.push(`unknown setting ${JSON.stringify(key)}: there are ${[...KEYS, ...moreKeys].join(', ')}`)
  }
  const { prefix, trace, serialize, maxFactBytes } = defaults as { readonly [key: string]: unknown }
  checkPrefix(prefix, problems)
  for (const [name, value] of [
    ['trace', trace],
    ['serialize', serialize],
  ] as const) {
    if (value !== undefined && typeof value !== 'function')
      problems.push(`${name} is ${kindOf(value)}: give a function`)
  }
  if (maxFactBytes !== undefined && !(Number.isSafeInteger(maxFactBytes) && (maxFactBytes as number) > 0)) {
    problems.push('maxFactBytes has to be a whole number of bytes above 0')
  }
  return problems
}

function store(): { [STATE]?: Defaults | undefined } {
  return globalThis as { [STATE]?: Defaults | undefined }
}
