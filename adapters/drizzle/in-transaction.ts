import { NotInTransactionError } from '../../src/errors.ts'
import { guardedExecutor, type SqlExecutor } from '../../src/executor.ts'
import { type DrizzleTransactionLike, driverError, drizzleQuery, rowsOf } from './drizzle-like.ts'
import { hasEnded } from './transaction-lifetime.ts'

const OVER =
  'this Drizzle transaction is over, the fact was not written: await emitFact(tx, …) inside the callback of db.transaction, with the tx of that callback'

/**
 * Runs statements in this transaction, or not at all. A transaction object of Drizzle goes on working after its end: on
 * a connection that is by then in autocommit, or in somebody else's transaction. So PostgreSQL itself is asked.
 */
export function inTransaction(tx: DrizzleTransactionLike): SqlExecutor {
  return guardedExecutor({
    owner: tx,
    ownerIsTransaction: true,
    refusal: OVER,
    async query({ text, values }) {
      if (hasEnded(tx)) throw new NotInTransactionError(OVER)
      try {
        return rowsOf(await tx.execute(drizzleQuery(text, values)))
      } catch (error) {
        throw driverError(error)
      }
    },
  })
}
