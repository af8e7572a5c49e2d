/**
 * The subset of Sequelize 6 that is needed, by structure: nothing of it is imported. What its types do not show
 * (`finished`, the connection, the CLS namespace) is read in one place, open-transaction.ts.
 */

/** A `Sequelize` instance. */
export interface SequelizeLike {
  query(sql: string, options: object): PromiseLike<unknown>
  transaction(): PromiseLike<unknown>
}

/** A transaction of Sequelize, nested or not. */
export interface SequelizeTransactionLike {
  commit(): Promise<void>
  rollback(): Promise<void>
  afterCommit(hook: never): void
}
