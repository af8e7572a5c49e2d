import { defaultsProblems } from '../../src/config.ts'
import { type Emittable, type EmitterOptions, emitWith } from '../../src/emitter.ts'
import { ConfigurationError, NotInTransactionError } from '../../src/errors.ts'
import { type DrizzleTransactionLike, isDrizzleTransaction } from './drizzle-like.ts'
import { inTransaction } from './in-transaction.ts'

/** Emits into a Drizzle transaction; resolves to the id, or to the ids in the order of the array. */
export interface EmitFact {
  (tx: DrizzleTransactionLike, fact: Emittable, options?: EmitterOptions): Promise<string>
  (tx: DrizzleTransactionLike, facts: readonly Emittable[], options?: EmitterOptions): Promise<string[]>
  (
    tx: DrizzleTransactionLike,
    facts: Emittable | readonly Emittable[],
    options?: EmitterOptions,
  ): Promise<string | string[]>
}

/** What `createEmitter` gives. */
export interface DrizzleEmitter {
  readonly emitFact: EmitFact
}

/**
 * Emits a fact, or several in one round trip, as part of a Drizzle transaction; it is there if and only if the
 * transaction commits. `options` come before the defaults of `configure()`; a fact's own prefix comes before both.
 *
 * Write the row first: a fact that is the very first write of its transaction takes a second round trip.
 *
 * @example
 * ```ts
 * await db.transaction(async (tx) => {
 *   await tx.insert(orders).values({ id: 42, total: 12 })
 *   await emitFact(tx, { aggregateType: 'order', aggregateId: 42, eventType: 'order.created', payload: { total: 12 } })
 * })
 * ```
 * @throws InvalidFactError with every problem, before anything is sent.
 * @throws NotInTransactionError for `db`, and for a transaction that is over; nothing is written.
 * @throws EmitError when the database does not take the statement; the driver's error is the cause.
 */
export const emitFact: EmitFact = emitterWith({})

/**
 * An emitter with settings of its own, for several prefixes or databases in one process.
 *
 * @example
 * ```ts
 * const { emitFact } = createEmitter({ prefix: 'billing', trace: sentryTrace(Sentry) })
 * ```
 * @throws ConfigurationError with every problem of the settings.
 */
export function createEmitter(options: EmitterOptions = {}): DrizzleEmitter {
  const problems = defaultsProblems(options)
  if (problems.length > 0) throw new ConfigurationError(problems)
  return { emitFact: emitterWith({ ...options }) }
}

function emitterWith(own: EmitterOptions): EmitFact {
  async function emit(tx: DrizzleTransactionLike, fact: Emittable, options?: EmitterOptions): Promise<string>
  async function emit(
    tx: DrizzleTransactionLike,
    facts: readonly Emittable[],
    options?: EmitterOptions,
  ): Promise<string[]>
  async function emit(
    tx: DrizzleTransactionLike,
    input: Emittable | readonly Emittable[],
    options?: EmitterOptions,
  ): Promise<string | string[]>
  async function emit(
    tx: DrizzleTransactionLike,
    input: Emittable | readonly Emittable[],
    options: EmitterOptions = {},
  ): Promise<string | string[]> {
    if (!isDrizzleTransaction(tx)) {
      throw new NotInTransactionError(
        'emitFact needs the transaction that writes the rows, not db, the fact was not written: db.transaction(async (tx) => { …; await emitFact(tx, fact) })',
      )
    }
    return emitWith(inTransaction(tx), input, withOwn(own, options))
  }
  return emit
}

/** The settings of the call before those of the emitter; undefined counts as not given. */
function withOwn(own: EmitterOptions, options: EmitterOptions): EmitterOptions {
  return { ...own, ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) }
}
