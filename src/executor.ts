import { NotInTransactionError } from './errors.ts'
import { guardedStatement, type Outcome, readOutcome, type Statement } from './statements.ts'

/**
 * How a statement gets into the caller's transaction; the only thing that an adapter has to bring.
 *
 * Who implements it promises: the statement runs on the connection of the transaction that the caller is in, and nowhere
 * else; it runs once (a retry would write the facts twice); the promise settles after the database has answered; it
 * rejects with the driver's own error; and outside a transaction it throws `NotInTransactionError` before anything is
 * written. Calls that are made one after the other write in that order, also when the first has not settled yet.
 * `guardedExecutor` keeps these promises for any driver; `test/contracts/executor.ts` holds an adapter to them.
 */
export interface SqlExecutor {
  execute(statement: Statement): Promise<unknown>
}

/** Runs a query and gives its rows, as objects with the columns' names; used by `checkEmission`. */
export type SqlQuery = (text: string) => Promise<readonly SqlRow[]>

/** A row, as an object with the columns' names. */
export type SqlRow = { readonly [column: string]: unknown }

/** What `guardedExecutor` is told of a transaction. */
export interface GuardedTransaction {
  /**
   * The object that stands for the transaction, or for the connection that it runs on: calls on it wait for each other
   * where their order would be lost.
   */
  readonly owner: object
  /**
   * Whether `owner` is of this one transaction, so that it is refused once its connection is in another one. False for a
   * connection, which has many.
   */
  readonly ownerIsTransaction: boolean
  /** Sends the statement on the connection of the transaction; resolves to its rows. */
  query(statement: Statement): Promise<readonly SqlRow[]>
  /** What the user has to do, for the error when there is no transaction, or another one. */
  readonly refusal: string
}

interface OwnerState {
  /** `pg_current_xact_id()` of the owner's transaction; undefined until its first fact, and for a connection. */
  id: string | undefined
  /** The first fact is on its way: the next ones wait, or they could overtake it between its two round trips. */
  isOpening: boolean
  /** Starts each that waits, in the order of their calls. */
  readonly waiting: (() => void)[]
}

const owners = new WeakMap<object, OwnerState>()

/**
 * An executor that asks PostgreSQL itself whether it is in a transaction, and in the same one as before: for libraries
 * whose transactions can be used after their end, or not be told from a connection. Nothing is written when it is refused.
 *
 * One round trip, but two for a fact that is the first write of its transaction: write the row first.
 *
 * @example
 * ```ts
 * const executor = guardedExecutor({
 *   owner: trx,
 *   ownerIsTransaction: true,
 *   query: async ({ text, values }) => (await trx.executeQuery(CompiledQuery.raw(text, [...values]))).rows,
 *   refusal: 'emit inside db.transaction().execute(async (trx) => …), with its trx',
 * })
 * await emitWith(executor, fact)
 * ```
 */
export function guardedExecutor(transaction: GuardedTransaction): SqlExecutor {
  return { execute: (statement) => execute(transaction, statement) }
}

function execute(transaction: GuardedTransaction, statement: Statement): Promise<void> {
  const state = stateOf(transaction.owner)
  if (!state.isOpening) return start(transaction, statement, state)
  return new Promise((resolve, reject) => {
    state.waiting.push(() => void start(transaction, statement, state).then(resolve, reject))
  })
}

/** Has sent its statement when it returns; only its promise is for later. */
async function start(transaction: GuardedTransaction, statement: Statement, state: OwnerState): Promise<void> {
  if (state.id !== undefined) {
    const { written } = outcomeOf(await transaction.query(guardedStatement(statement, state.id)))
    if (!written) throw new NotInTransactionError(transaction.refusal)
    return
  }
  state.isOpening = true
  try {
    state.id = await open(transaction, statement)
  } finally {
    state.isOpening = false
    // At once, not by a promise: whoever calls between its settling and their start would overtake those that wait.
    while (!state.isOpening && state.waiting.length > 0) state.waiting.shift()!()
  }
}

function stateOf(owner: object): OwnerState {
  const known = owners.get(owner)
  if (known !== undefined) return known
  const state: OwnerState = { id: undefined, isOpening: false, waiting: [] }
  owners.set(owner, state)
  return state
}

/** Resolves to the transaction's id, if the owner is of one. */
async function open(transaction: GuardedTransaction, statement: Statement): Promise<string | undefined> {
  const { ownerIsTransaction } = transaction
  const outcome = outcomeOf(await transaction.query(guardedStatement(statement, '', ownerIsTransaction)))
  // Inside a transaction the id that it got is still there the second time; in autocommit it went with the first statement.
  const { written } = outcome.written
    ? outcome
    : outcomeOf(await transaction.query(guardedStatement(statement, outcome.transactionId)))
  if (!written) throw new NotInTransactionError(transaction.refusal)
  return ownerIsTransaction ? outcome.transactionId : undefined
}

function outcomeOf([row]: readonly SqlRow[]): Outcome {
  const outcome = row?.['outcome']
  // It may be written: sent again, it would be written twice, and to say that it was not would be a lie.
  if (typeof outcome !== 'string')
    throw new TypeError('the driver gave no outcome of the statement: query must resolve to its rows, as objects')
  return readOutcome(outcome)
}
