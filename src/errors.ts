/**
 * Every error that factlib throws: one class for each decision that a caller takes, one code for each cause.
 *
 * Tell errors apart by `code`, or by `instanceof`: both hold between copies of the package in one process (an ESM and a
 * CJS one, or two versions), because errors carry a brand under a registered symbol.
 */

const BRAND = Symbol.for('factlib.error')

/** What the documentation says of one error code. */
export interface ErrorCodeEntry {
  /** Name of the class that carries the code. */
  readonly className: string
  readonly meaning: string
  readonly remedy: string
}

/** The codes of the core; the relay's own are in its own table of the same form. */
export const ERROR_CODES = {
  FACTLIB_INVALID_FACT: {
    className: 'InvalidFactError',
    meaning: 'A fact cannot be emitted as it is; `problems` lists every reason. Nothing was sent to the database.',
    remedy: 'Correct the fact where it is built. Trying again without a change fails again.',
  },
  FACTLIB_NOT_IN_TRANSACTION: {
    className: 'NotInTransactionError',
    meaning: 'A fact was emitted outside a transaction. Nothing was written.',
    remedy: "Emit inside the transaction that writes the rows, with that transaction's client.",
  },
  FACTLIB_EMIT_FAILED: {
    className: 'EmitError',
    meaning: 'The database refused the statement that writes the fact, or could not be reached; `cause` says why.',
    remedy: 'Let the transaction roll back and try all of it again. A `Fact` that was built before it keeps its id.',
  },
  FACTLIB_UNSEEN_WRITE: {
    className: 'UnseenWriteError',
    meaning: 'A write would change rows of a model with mappers in a way that the adapter cannot see; it was refused.',
    remedy: 'Write it as the message says, as separate calls in one transaction.',
  },
  FACTLIB_BAD_CONFIGURATION: {
    className: 'ConfigurationError',
    meaning: 'A setting is missing, unknown or out of its range; `problems` lists every one. Nothing was changed.',
    remedy: 'Correct the settings that are named.',
  },
  FACTLIB_MALFORMED_ENVELOPE: {
    className: 'DecodeError',
    meaning: 'The bytes are not the envelope of a fact.',
    remedy: 'Look at what wrote them: another producer on the same topic or prefix, or a value that was cut.',
  },
} as const satisfies Record<string, ErrorCodeEntry>

/** What all errors of factlib have in common: a `code` that never changes its meaning, and a message that says what to do. */
export class FactlibError extends Error {
  static readonly kind: string = 'FactlibError'
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.name = (this.constructor as typeof FactlibError).kind
    Object.defineProperty(this, BRAND, { value: kindsOf(this.constructor as typeof FactlibError) })
  }

  // An error of another copy of the package has the same brand, but not the same prototype.
  static override [Symbol.hasInstance](value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: the class that was asked for, FactlibError or a subclass
    return isInstance(value, this)
  }
}

/** The fact cannot be emitted as it is; `problems` lists every reason at once, never with a payload's value. */
export class InvalidFactError extends FactlibError {
  static override readonly kind: string = 'InvalidFactError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[], options?: ErrorOptions) {
    super('FACTLIB_INVALID_FACT', listed('The fact cannot be emitted', problems), options)
    this.problems = Object.freeze([...problems])
  }
}

/** A fact was emitted outside a transaction; nothing was written. */
export class NotInTransactionError extends FactlibError {
  static override readonly kind: string = 'NotInTransactionError'

  /** `message`: what the adapter's user has to do, in the words of that ORM. */
  constructor(message: string, options?: ErrorOptions) {
    super('FACTLIB_NOT_IN_TRANSACTION', message, options)
  }
}

/** The database did not take the fact; the driver's error is the `cause`. */
export class EmitError extends FactlibError {
  static override readonly kind: string = 'EmitError'

  constructor(message: string, options?: ErrorOptions) {
    super('FACTLIB_EMIT_FAILED', message, options)
  }
}

/** A write on models with mappers that the adapter cannot follow; it was refused, and its transaction cannot commit it. */
export class UnseenWriteError extends FactlibError {
  static override readonly kind: string = 'UnseenWriteError'

  /** `message`: what cannot be seen, and what to write instead, in the words of that ORM. */
  constructor(message: string, options?: ErrorOptions) {
    super('FACTLIB_UNSEEN_WRITE', message, options)
  }
}

/** A setting is missing, unknown or out of its range; `problems` lists every one. */
export class ConfigurationError extends FactlibError {
  static override readonly kind: string = 'ConfigurationError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[], options?: ErrorOptions) {
    super('FACTLIB_BAD_CONFIGURATION', listed('The configuration is not usable', problems), options)
    this.problems = Object.freeze([...problems])
  }
}

/** The bytes are not the envelope of a fact. */
export class DecodeError extends FactlibError {
  static override readonly kind: string = 'DecodeError'

  constructor(message: string, options?: ErrorOptions) {
    super('FACTLIB_MALFORMED_ENVELOPE', message, options)
  }
}

/**
 * Whether `error` is one of factlib's, of any copy of the package in this process, and (when given) of this code.
 *
 * @example
 * ```ts
 * try {
 *   await tx.$emitFact(fact)
 * } catch (error) {
 *   if (isFactlibError(error, 'FACTLIB_INVALID_FACT')) log.warn(error.message)
 *   throw error
 * }
 * ```
 */
export function isFactlibError(error: unknown, code?: string): error is FactlibError {
  return brandOf(error) !== undefined && (code === undefined || (error as FactlibError).code === code)
}

function isInstance(value: unknown, errorClass: typeof FactlibError): boolean {
  // A subclass of the user's own has no kind of its own: the language's rule holds for it.
  if (!Object.hasOwn(errorClass, 'kind')) return Function.prototype[Symbol.hasInstance].call(errorClass, value)
  return brandOf(value)?.includes(errorClass.kind) ?? false
}

function brandOf(value: unknown): readonly string[] | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  return (value as { readonly [BRAND]?: readonly string[] })[BRAND]
}

function kindsOf(errorClass: typeof FactlibError): readonly string[] {
  const kinds: string[] = []
  for (let current = errorClass; current.kind !== undefined; current = Object.getPrototypeOf(current)) {
    if (Object.hasOwn(current, 'kind')) kinds.push(current.kind)
  }
  return kinds
}

function listed(what: string, problems: readonly string[]): string {
  if (problems.length === 1) return `${what}: ${problems[0]}`
  return `${what}, ${problems.length} problems:\n${problems.map((problem) => `- ${problem}`).join('\n')}`
}
