import { defaultsProblems } from '../../src/config.ts'
import { type Emittable, type EmitterOptions, emitWith } from '../../src/emitter.ts'
import { ConfigurationError, NotInTransactionError } from '../../src/errors.ts'
import { type GuardedTransaction, guardedExecutor, type SqlRow } from '../../src/executor.ts'
import type { Statement } from '../../src/statements.ts'
import { isPgClient, type PgClientLike } from './pg-like.ts'

/** Emits into the transaction that a client of pg is in; resolves to the id, or to the ids in the order of the array. */
export interface EmitFact {
  (client: PgClientLike, fact: Emittable, options?: EmitterOptions): Promise<string>
  (client: PgClientLike, facts: readonly Emittable[], options?: EmitterOptions): Promise<string[]>
  (client: PgClientLike, facts: Emittable | readonly Emittable[], options?: EmitterOptions): Promise<string | string[]>
}

/** What `createEmitter` gives. */
export interface PgEmitter {
  readonly emitFact: EmitFact
}

const OUTSIDE =
  'this client is in no transaction, the fact was not written: BEGIN, write the row, await emitFact(client, fact), COMMIT, all on one client'

/**
 * Emits a fact, or several in one round trip, as part of the transaction that this client is in; it is there if and only
 * if the transaction commits. `options` come before the defaults of `configure()`; a fact's own prefix comes before both.
 *
 * Write the row first: a fact that is the very first write of its transaction takes a second round trip. A client that
 * was given back to its pool must not be used: it may be in somebody else's transaction by then.
 *
 * @example
 * ```ts
 * await client.query('BEGIN')
 * await client.query('INSERT INTO orders (id, total) VALUES ($1, $2)', [42, 12])
 * await emitFact(client, { aggregateType: 'order', aggregateId: 42, eventType: 'order.created', payload: { total: 12 } })
 * await client.query('COMMIT')
 * ```
 * @throws InvalidFactError with every problem, before anything is sent.
 * @throws NotInTransactionError for a pool, and for a client that is in no transaction; nothing is written.
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
export function createEmitter(options: EmitterOptions = {}): PgEmitter {
  const problems = defaultsProblems(options)
  if (problems.length > 0) throw new ConfigurationError(problems)
  return { emitFact: emitterWith({ ...options }) }
}

function emitterWith(own: EmitterOptions): EmitFact {
  async function emit(client: PgClientLike, fact: Emittable, options?: EmitterOptions): Promise<string>
  async function emit(client: PgClientLike, facts: readonly Emittable[], options?: EmitterOptions): Promise<string[]>
  async function emit(
    client: PgClientLike,
    input: Emittable | readonly Emittable[],
    options?: EmitterOptions,
  ): Promise<string | string[]>
  async function emit(
    client: PgClientLike,
    input: Emittable | readonly Emittable[],
    options?: EmitterOptions,
  ): Promise<string | string[]> {
    if (!isPgClient(client)) {
      throw new NotInTransactionError(
        'emitFact needs the client that is in the transaction, not a pool, the fact was not written: const client = await pool.connect()',
      )
    }
    const executor = guardedExecutor(new PgConnection(client))
    // Awaited: a promise that is only returned takes two turns more to arrive.
    return await emitWith(executor, input, options === undefined ? own : withOwn(own, options))
  }
  return emit
}

class PgConnection implements GuardedTransaction {
  readonly owner: PgClientLike
  readonly ownerIsTransaction = false
  readonly refusal = OUTSIDE

  constructor(client: PgClientLike) {
    this.owner = client
  }

  async query({ text, values }: Statement): Promise<readonly SqlRow[]> {
    return (await this.owner.query(text, [...values])).rows
  }
}

/** The settings of the call before those of the emitter; undefined counts as not given. */
function withOwn(own: EmitterOptions, options: EmitterOptions): EmitterOptions {
  return { ...own, ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) }
}
