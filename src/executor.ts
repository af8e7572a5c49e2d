import type { Statement } from './statements.ts'

/**
 * How a statement gets into the caller's transaction; the only thing that an adapter has to bring.
 *
 * Who implements it promises: the statement runs on the connection of the transaction that the caller is in, and nowhere
 * else; it runs once (a retry would write the facts twice); the promise settles after the database has answered; it
 * rejects with the driver's own error; and outside a transaction it throws `NotInTransactionError` before anything is sent.
 */
export interface SqlExecutor {
  execute(statement: Statement): Promise<unknown>
}

/** Runs a query and gives its rows, as objects with the columns' names; used by `checkEmission`. */
export type SqlQuery = (text: string) => Promise<readonly { readonly [column: string]: unknown }[]>
