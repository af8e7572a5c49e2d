import type { Statement } from '../../src/statements.ts'

/**
 * The subset of Drizzle that is needed, by structure: nothing of drizzle-orm is imported, and 0.45 and 1.0 both fit.
 */

/**
 * A Drizzle transaction, nested or not: what `db.transaction` hands to its callback. `db` itself has no `rollback`, so
 * that it is a compile error to pass it.
 */
export interface DrizzleTransactionLike {
  execute(query: unknown): PromiseLike<unknown>
  rollback(): never
}

/** A Drizzle database, as far as its transactions are concerned. */
export interface DrizzleDatabaseLike {
  transaction(body: never, config?: never): Promise<unknown>
}

/** `db` or a transaction. */
export interface DrizzleExecutorLike {
  execute(query: unknown): PromiseLike<unknown>
}

export type Row = { readonly [column: string]: unknown }

/** Whether the value is a transaction rather than `db`; says nothing about whether it is still open. */
export function isDrizzleTransaction(value: unknown): value is DrizzleTransactionLike {
  if (typeof value !== 'object' || value === null) return false
  const { execute, rollback } = value as { readonly execute?: unknown; readonly rollback?: unknown }
  return typeof execute === 'function' && typeof rollback === 'function'
}

/**
 * A statement as `execute` takes it. Drizzle asks a query for `getSQL()` and that one for `toQuery()`, which gives the
 * text and the parameters: answering both here means that no `casing` and no expansion of arrays ever touches them, and
 * that drizzle-orm need not be imported for its `sql` tag.
 */
export function drizzleQuery(text: string, params: Statement['values']): object {
  const query = {
    getSQL: () => query,
    toQuery: () => ({ sql: text, params: [...params], typings: params.map(() => 'none') }),
  }
  return query
}

/** The rows of a result: postgres-js gives the rows themselves, node-postgres (also pglite, neon) an object that holds them. */
export function rowsOf(result: unknown): readonly Row[] {
  if (Array.isArray(result)) return result
  const rows = (result as { readonly rows?: unknown } | null | undefined)?.rows
  if (Array.isArray(rows)) return rows
  throw new TypeError('the driver gave a result without rows: factlib knows results that are an array, or have `rows`')
}

/** The driver's own error: the message of Drizzle's wrapper holds the parameters, and so the payload. */
export function driverError(error: unknown): unknown {
  if (!(error instanceof Error) || !('params' in error)) return error
  return error.cause ?? new Error('the query failed; Drizzle gave no cause')
}
