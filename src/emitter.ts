import { defaultPrefix, defaultsButPrefix } from './config.ts'
import { isEmitHeard, publishEmit } from './diagnostics.ts'
import { encodeFactBuffer } from './envelope/encode.ts'
import { EmitError, InvalidFactError, isFactlibError } from './errors.ts'
import type { SqlExecutor } from './executor.ts'
import { Fact, type FactInput, factProblems, isFact, prefixProblems } from './fact.ts'
import { MISSING_PREFIX } from './fact-rules.ts'
import type { Serialize } from './payload.ts'
import { emitManyStatement, emitOneStatement, type Message, type Statement } from './statements.ts'
import type { TraceSource } from './trace/trace.ts'

/**
 * Fact → trace → envelope → statement: the one path that every adapter takes. Preparing is synchronous and pure, so
 * that an element of a Prisma array transaction can stay lazy; only `emitWith` and `runEmission` wait for a database.
 */

/** A fact, or what one is built from. */
export type Emittable = Fact | FactInput

/** What an emitter takes instead of the process-wide defaults. A fact's own prefix comes before it. */
export interface EmitterOptions {
  readonly prefix?: string | undefined
  readonly trace?: TraceSource | undefined
  readonly serialize?: Serialize | undefined
  readonly maxFactBytes?: number | undefined
}

/** Everything that there is to do for an emission, before anything is done. */
export interface PreparedEmission<Result extends string | string[] = string | string[]> {
  readonly facts: readonly Fact[]
  /** Of each fact, in their order: what the statement carries. */
  readonly messages: readonly Message[]
  /** Undefined for an empty array: nothing is to be sent, the emission resolves to `[]`. */
  readonly statement: Statement | undefined
  /** The fact's id, or the ids in the order of the array. */
  readonly result: Result
}

/** Envelopes of one array together; above it neither the text parameter nor the WAL's decoding is a pleasure. */
const MAX_EMISSION_BYTES = 100_000_000

/**
 * Builds and checks the facts, and the statement that writes them; nothing is sent.
 * @throws InvalidFactError with the problems of all facts of an array, each with its index.
 */
export function prepareEmission(input: Emittable, options?: EmitterOptions): PreparedEmission<string>
export function prepareEmission(input: readonly Emittable[], options?: EmitterOptions): PreparedEmission<string[]>
export function prepareEmission(input: Emittable | readonly Emittable[], options?: EmitterOptions): PreparedEmission
export function prepareEmission(
  input: Emittable | readonly Emittable[],
  options: EmitterOptions = {},
): PreparedEmission {
  const defaults = defaultsButPrefix()
  const limits: Limits = {
    prefix: options.prefix,
    maxFactBytes: options.maxFactBytes ?? defaults.maxFactBytes,
  }
  if (!isArray(input)) {
    const problems: string[] = []
    const prepared = prepareOne(input, options, limits, problems)
    if (prepared === undefined) throw new InvalidFactError(problems)
    const { fact, message } = prepared
    return { facts: [fact], messages: [message], statement: emitOneStatement(message), result: fact.id }
  }
  const problems: string[] = []
  const facts: Fact[] = []
  const messages: Message[] = []
  let bytes = 0
  // Not forEach, which would pass by a hole in the array, and so lose a fact in silence.
  for (const [index, one] of input.entries()) {
    const own: string[] = []
    const prepared = prepareOne(one, options, limits, own)
    for (const problem of own) problems.push(`facts[${index}]: ${problem}`)
    if (prepared === undefined) continue
    facts.push(prepared.fact)
    messages.push(prepared.message)
    bytes += prepared.message.content.byteLength
  }
  if (bytes > MAX_EMISSION_BYTES) {
    problems.push(`the facts have ${bytes} bytes together: emit at most ${MAX_EMISSION_BYTES} in one call`)
  }
  if (problems.length > 0) throw new InvalidFactError(problems)
  const statement = messages.length === 0 ? undefined : emitManyStatement(messages)
  return { facts, messages, statement, result: facts.map((fact) => fact.id) }
}

/**
 * Prepares and emits, through an adapter's executor; resolves to the id, or the ids.
 * @throws InvalidFactError, NotInTransactionError (from the executor), EmitError.
 */
export async function emitWith(executor: SqlExecutor, input: Emittable, options?: EmitterOptions): Promise<string>
export async function emitWith(
  executor: SqlExecutor,
  input: readonly Emittable[],
  options?: EmitterOptions,
): Promise<string[]>
export async function emitWith(
  executor: SqlExecutor,
  input: Emittable | readonly Emittable[],
  options?: EmitterOptions,
): Promise<string | string[]>
export async function emitWith(
  executor: SqlExecutor,
  input: Emittable | readonly Emittable[],
  options?: EmitterOptions,
): Promise<string | string[]> {
  const prepared = prepareEmission(input, options)
  await send(executor, prepared)
  return prepared.result
}

/** Sends a prepared emission; tells `factlib:emit` of it. A failure becomes an `EmitError`, factlib's own errors stay as they are. */
export async function runEmission<Result extends string | string[]>(
  executor: SqlExecutor,
  prepared: PreparedEmission<Result>,
): Promise<Result> {
  await send(executor, prepared)
  return prepared.result
}

async function send(executor: SqlExecutor, prepared: PreparedEmission): Promise<void> {
  const { statement } = prepared
  if (statement === undefined) return
  if (isEmitHeard()) {
    await toldOf(prepared, () => executor.execute(statement))
    return
  }
  try {
    await executor.execute(statement)
  } catch (cause) {
    throw emitFailure(prepared.facts, cause)
  }
}

/** Executes, and tells `factlib:emit` of the start and of the end. */
async function toldOf({ facts, messages }: PreparedEmission, execute: () => Promise<unknown>): Promise<void> {
  const told = {
    emission: {},
    facts: facts.map(({ id, aggregateType, eventType }, index) => {
      const { prefix, content } = messages[index] as Message
      return { id, aggregateType, eventType, topic: `${prefix}.${aggregateType}`, bytes: content.byteLength }
    }),
    count: facts.length,
  }
  const startedMs = performance.now()
  const seconds = () => (performance.now() - startedMs) / 1_000
  publishEmit({ phase: 'start', ...told, seconds: 0 })
  try {
    await execute()
  } catch (cause) {
    const error = emitFailure(facts, cause)
    publishEmit({ phase: 'error', ...told, seconds: seconds(), error })
    throw error
  }
  publishEmit({ phase: 'end', ...told, seconds: seconds() })
}

/**
 * The error for a statement that the database did not take. Of the driver's error only the SQLSTATE is told: its message
 * may hold the statement's parameters, which are the payload.
 */
export function emitFailure(facts: readonly Fact[], cause: unknown): Error {
  if (isFactlibError(cause)) return cause
  const first = facts[0]
  const what = facts.length === 1 ? `fact ${first?.aggregateType} ${first?.eventType}` : `${facts.length} facts`
  const state = sqlState(cause)
  return new EmitError(
    `the database did not take the ${what}${state === undefined ? '' : ` (SQLSTATE ${state})`}: see cause`,
    {
      cause,
    },
  )
}

interface Limits {
  /** The emitter's. */
  readonly prefix: string | undefined
  readonly maxFactBytes: number
}

function prepareOne(
  input: Emittable,
  options: EmitterOptions,
  limits: Limits,
  problems: string[],
): { readonly fact: Fact; readonly message: Message } | undefined {
  let fact: Fact
  try {
    fact = isFact(input) ? input : new Fact(input, { trace: options.trace, serialize: options.serialize })
  } catch (error) {
    if (!isFactlibError(error, 'FACTLIB_INVALID_FACT')) throw error
    problems.push(...(error as InvalidFactError).problems)
    const own = typeof input === 'object' && input !== null ? input.prefix : undefined
    if ((own || prefixOf(limits)) === undefined) problems.push(MISSING_PREFIX)
    return undefined
  }
  const prefix = fact.prefix ?? prefixOf(limits)
  // A fact that has just been built was checked by that, with its own prefix if it has one.
  if (fact === input) factProblems(fact, problems)
  if (fact === input || fact.prefix === undefined) prefixProblems(fact, prefix, problems)
  if (problems.length > 0 || prefix === undefined) return undefined
  const content = encodeFactBuffer(fact)
  if (content.byteLength > limits.maxFactBytes) {
    problems.push(
      `the fact has ${content.byteLength} bytes as an envelope: maxFactBytes is ${limits.maxFactBytes}. ` +
        'Put large content elsewhere and send where it is, or raise the limit together with message.max.bytes of Kafka',
    )
    return undefined
  }
  return { fact, message: { prefix, content } }
}

function prefixOf({ prefix }: Limits): string | undefined {
  return prefix || defaultPrefix()
}

function isArray(input: Emittable | readonly Emittable[]): input is readonly Emittable[] {
  return Array.isArray(input)
}

/** The SQLSTATE of a driver's error, or of what it wraps. */
function sqlState(error: unknown): string | undefined {
  for (let current = error, depth = 0; typeof current === 'object' && current !== null && depth < 5; depth++) {
    const { code, cause, original } = current as { code?: unknown; cause?: unknown; original?: unknown }
    if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && /\d/.test(code)) return code
    current = cause ?? original
  }
  return undefined
}
