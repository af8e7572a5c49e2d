import type { DrizzleDatabaseLike } from './drizzle-like.ts'

/**
 * When a transaction's callback has settled, as far as anybody can know: only transactions that are opened through a
 * guarded `db` (and those nested in them) have a lifetime here. It is kept on the transaction under a registered symbol,
 * so that an ESM and a CJS copy of the package see the same.
 */
interface Lifetime {
  ended: boolean
  readonly outer: Lifetime | undefined
}

type Body = (tx: object) => Promise<unknown>
type OpenTransaction = (body: Body, ...rest: unknown[]) => Promise<unknown>

const LIFETIME = Symbol.for('factlib.drizzle.lifetime')
const GUARDED = Symbol.for('factlib.drizzle.guarded')

/**
 * Makes every transaction of `db` known from its first moment to the end of its callback: `emitFact` then refuses a
 * transaction object that is used later, even when its connection already serves another transaction (a forgotten `await`).
 * No round trip is added. Call it once where `db` is made; `db` itself is changed and returned.
 *
 * Without it a late `emitFact` is refused by PostgreSQL, but for one case: a transaction object that was never emitted on
 * while it was open, used while its connection is inside another transaction.
 *
 * @example
 * ```ts
 * export const db = guardTransactions(drizzle(pool))
 * ```
 */
export function guardTransactions<Db extends DrizzleDatabaseLike>(db: Db): Db {
  watchTransactions(db, undefined)
  return db
}

/** Whether the transaction, or one that it is nested in, is known to be over. */
export function hasEnded(tx: object): boolean {
  let lifetime = (tx as { readonly [LIFETIME]?: Lifetime })[LIFETIME]
  while (lifetime !== undefined) {
    if (lifetime.ended) return true
    lifetime = lifetime.outer
  }
  return false
}

function watchTransactions(owner: object, outer: Lifetime | undefined): void {
  if (Object.hasOwn(owner, GUARDED)) return
  const open = (owner as { readonly transaction: OpenTransaction }).transaction
  const watched: OpenTransaction = (body, ...rest) =>
    open.call(
      owner,
      async (tx) => {
        const lifetime: Lifetime = { ended: false, outer }
        Object.defineProperty(tx, LIFETIME, { value: lifetime })
        watchTransactions(tx, lifetime)
        try {
          return await body(tx)
        } finally {
          // Before COMMIT is sent: what is emitted from here on would stand after it.
          lifetime.ended = true
        }
      },
      ...rest,
    )
  Object.defineProperty(owner, 'transaction', { value: watched, configurable: true, writable: true })
  Object.defineProperty(owner, GUARDED, { value: true })
}
