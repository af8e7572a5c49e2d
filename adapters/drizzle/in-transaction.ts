import { NotInTransactionError } from '../../src/errors.ts'
import type { SqlExecutor } from '../../src/executor.ts'
import type { Statement } from '../../src/statements.ts'
import { type DrizzleTransactionLike, driverError, drizzleQuery, rowsOf } from './drizzle-like.ts'
import { hasEnded } from './transaction-lifetime.ts'

/**
 * A transaction object of Drizzle goes on working after its end: on a connection that is by then in autocommit, or in
 * somebody else's transaction. So the statement itself asks PostgreSQL where it is, and writes nothing when that is wrong:
 *
 *   the transaction has no id yet      it gets one, and the statement is sent once more. Inside a transaction the id is
 *                                      still there the second time; in autocommit it is gone with the first statement.
 *                                      After the first row of a transaction is written this never happens.
 *   it has one, we know none           the fact is written, the id remembered for this transaction object
 *   it has the one that we know        the fact is written
 *   it has another one                 refused
 *
 * One round trip, but for a transaction whose first write is the fact: that one takes two.
 */

interface KnownTransaction {
  /** `pg_current_xact_id()`; undefined until the first fact. */
  id?: string
  /** The first fact, while it is on its way: the next ones wait, or they could overtake it between its two round trips. */
  opening?: Promise<void>
}

const known = new WeakMap<DrizzleTransactionLike, KnownTransaction>()

const OVER =
  'this Drizzle transaction is over, the fact was not written: await emitFact(tx, …) inside the callback of db.transaction, with the tx of that callback'

/** Runs statements in this transaction, or not at all. */
export function inTransaction(tx: DrizzleTransactionLike): SqlExecutor {
  return { execute: (statement) => execute(tx, statement) }
}

async function execute(tx: DrizzleTransactionLike, statement: Statement): Promise<void> {
  const transaction = known.get(tx) ?? {}
  known.set(tx, transaction)
  while (transaction.id === undefined && transaction.opening !== undefined) await transaction.opening
  if (transaction.id !== undefined) {
    const { written } = await send(tx, statement, transaction.id)
    if (!written) throw new NotInTransactionError(OVER)
    return
  }
  const first = open(tx, statement, transaction)
  transaction.opening = first.then(
    () => {},
    () => {},
  )
  try {
    await first
  } finally {
    delete transaction.opening
  }
}

async function open(tx: DrizzleTransactionLike, statement: Statement, transaction: KnownTransaction): Promise<void> {
  let outcome = await send(tx, statement, '')
  if (!outcome.written) outcome = await send(tx, statement, outcome.transactionId)
  if (!outcome.written) throw new NotInTransactionError(OVER)
  transaction.id = outcome.transactionId
}

interface Outcome {
  readonly written: boolean
  readonly transactionId: string
}

/** `expectedId`: the transaction that it has to be; empty for any that has an id. */
async function send(tx: DrizzleTransactionLike, statement: Statement, expectedId: string): Promise<Outcome> {
  if (hasEnded(tx)) throw new NotInTransactionError(OVER)
  let result: unknown
  try {
    result = await tx.execute(drizzleQuery(guarded(statement), [...statement.values, expectedId]))
  } catch (error) {
    throw driverError(error)
  }
  const [row] = rowsOf(result)
  return { written: typeof row?.['written'] === 'string', transactionId: String(row?.['transaction_id'] ?? '') }
}

// A branch of CASE is evaluated only when it is taken, and a subquery without outer references only when it is first
// asked for: nothing is written unless the first condition holds. The second condition is never true, it gives an id.
function guarded({ text, values }: Statement): string {
  const id = 'pg_current_xact_id_if_assigned()::text'
  return (
    `SELECT CASE WHEN ${id} = coalesce(nullif($${values.length + 1}::text, ''), ${id})` +
    ` THEN (SELECT count(facts.lsn)::text FROM (${text}) AS facts)` +
    ` WHEN pg_current_xact_id() IS NULL THEN NULL END AS written, ${id} AS transaction_id`
  )
}
