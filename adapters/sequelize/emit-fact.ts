import { defaultsProblems } from '../../src/config.ts'
import { type Emittable, type EmitterOptions, emitWith } from '../../src/emitter.ts'
import { ConfigurationError } from '../../src/errors.ts'
import { inTransaction } from './in-transaction.ts'
import { openTransaction } from './open-transaction.ts'
import type { SequelizeLike, SequelizeTransactionLike } from './sequelize-like.ts'

/** Which transaction, and settings for this call. */
export interface EmitFactOptions extends EmitterOptions {
  /** Default: the current transaction of `Sequelize.useCLS`. */
  readonly transaction?: SequelizeTransactionLike | null | undefined
}

/** Emits into a transaction of Sequelize; resolves to the id, or to the ids in the order of the array. */
export interface EmitFact {
  (sequelize: SequelizeLike, fact: Emittable, options?: EmitFactOptions): Promise<string>
  (sequelize: SequelizeLike, facts: readonly Emittable[], options?: EmitFactOptions): Promise<string[]>
  (
    sequelize: SequelizeLike,
    facts: Emittable | readonly Emittable[],
    options?: EmitFactOptions,
  ): Promise<string | string[]>
}

/** What `createEmitter` gives. */
export interface SequelizeEmitter {
  readonly emitFact: EmitFact
}

/**
 * Emits a fact, or several in one round trip, as part of a transaction of Sequelize; it is there if and only if the
 * transaction commits. Options come before the defaults of `configure()`; a fact's own prefix comes before both.
 *
 * @example
 * ```ts
 * await sequelize.transaction(async (transaction) => {
 *   await Order.create({ id: 42, total: 12 }, { transaction })
 *   const fact = { aggregateType: 'order', aggregateId: 42, eventType: 'order.created', payload: { total: 12 } }
 *   await emitFact(sequelize, fact, { transaction })
 * })
 * ```
 * @throws InvalidFactError with every problem, before anything is sent.
 * @throws NotInTransactionError without a transaction, and for one that is over or of another instance; nothing is written.
 * @throws EmitError when the database does not take the statement; Sequelize's error, without its parameters, is the cause.
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
export function createEmitter(options: EmitterOptions = {}): SequelizeEmitter {
  const problems = defaultsProblems(options)
  if (problems.length > 0) throw new ConfigurationError(problems)
  return { emitFact: emitterWith({ ...options }) }
}

function emitterWith(own: EmitterOptions): EmitFact {
  async function emit(sequelize: SequelizeLike, fact: Emittable, options?: EmitFactOptions): Promise<string>
  async function emit(
    sequelize: SequelizeLike,
    facts: readonly Emittable[],
    options?: EmitFactOptions,
  ): Promise<string[]>
  async function emit(
    sequelize: SequelizeLike,
    input: Emittable | readonly Emittable[],
    options?: EmitFactOptions,
  ): Promise<string | string[]>
  async function emit(
    sequelize: SequelizeLike,
    input: Emittable | readonly Emittable[],
    options: EmitFactOptions = {},
  ): Promise<string | string[]> {
    const { transaction, ...settings } = options
    return emitWith(inTransaction(sequelize, openTransaction(sequelize, transaction)), input, withOwn(own, settings))
  }
  return emit
}

/** The settings of the call before those of the emitter; undefined counts as not given. */
function withOwn(own: EmitterOptions, options: EmitterOptions): EmitterOptions {
  return { ...own, ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) }
}
