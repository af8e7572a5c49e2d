/** The subset of node-postgres that is needed, by structure: nothing of pg is imported. */

/** What a query gives. */
export interface PgResultLike {
  readonly rows: readonly { readonly [column: string]: unknown }[]
}

/**
 * A client of pg, of its own or from a pool: one connection. A `Pool` has no `escapeLiteral`, so that it is a compile
 * error to pass it.
 */
export interface PgClientLike {
  query(text: string, values: unknown[]): Promise<PgResultLike>
  escapeLiteral(text: string): string
}

/** A client or a pool. */
export interface PgQueryableLike {
  query(text: string, values: unknown[]): Promise<PgResultLike>
}

/** Whether the value is one connection rather than a pool; says nothing about whether it is in a transaction. */
export function isPgClient(value: unknown): value is PgClientLike {
  if (typeof value !== 'object' || value === null) return false
  const { query, escapeLiteral } = value as { readonly query?: unknown; readonly escapeLiteral?: unknown }
  return typeof query === 'function' && typeof escapeLiteral === 'function'
}
