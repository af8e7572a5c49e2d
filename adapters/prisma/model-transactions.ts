import { UnseenWriteError } from '../../src/errors.ts'
import type { SendingClient } from './transaction-client.ts'

/**
 * The interactive transactions that are open, for the writes of models with mappers.
 *
 * A row is written before its fact can be made. When the mapper then throws, or the transaction's callback ends while a
 * fact is still on its way, the row must not be committed: the transaction waits for the writes that are under way, and
 * fails with the first one that left a row without its facts, also when the caller has swallowed that error.
 */

/** One transaction, or one nested transaction of it. */
export interface TransactionScope {
  /** The transaction's client without extensions. */
  readonly bare: SendingClient
  /** Counts the write among those that the transaction waits for. */
  track<Result>(write: Promise<Result>): Promise<Result>
  /** The transaction can no longer commit. */
  fail(error: unknown): void
}

class Scope implements TransactionScope {
  readonly #pending = new Set<Promise<unknown>>()
  #failure: { readonly error: unknown } | undefined

  constructor(readonly bare: SendingClient) {}

  track<Result>(write: Promise<Result>): Promise<Result> {
    this.#pending.add(write)
    const done = () => this.#pending.delete(write)
    write.then(done, done)
    return write
  }

  fail(error: unknown): void {
    this.#failure ??= { error }
  }

  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.allSettled([...this.#pending])
  }

  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

/** By Prisma's id of the transaction. A nested transaction has the id of the one around it, and is the last of the list. */
const open = new Map<string, Scope[]>()

/** The innermost scope of this transaction that is open. */
export function scopeOf(id: unknown): TransactionScope | undefined {
  return typeof id === 'string' ? open.get(id)?.at(-1) : undefined
}

/**
 * Runs the body of a transaction, which ends only after every write on a model with mappers that was begun in it.
 * @throws what the body throws; else the first error of a write whose row has no fact.
 */
export async function inScope<Result>(
  id: string,
  bare: SendingClient,
  body: (scope: TransactionScope) => Result | Promise<Result>,
): Promise<Result> {
  const scope = new Scope(bare)
  const scopes = open.get(id) ?? []
  scopes.push(scope)
  open.set(id, scopes)
  try {
    const result = await body(scope)
    await scope.settled()
    scope.throwFailure()
    return result
  } finally {
    scopes.splice(scopes.indexOf(scope), 1)
    if (scopes.length === 0) open.delete(id)
  }
}

/** The error for a transaction that was not opened through the extension's `$transaction`. */
export function foreignTransaction(): UnseenWriteError {
  return new UnseenWriteError(
    'a model with mappers was written in a transaction that factlib did not open, so that row and fact could be ' +
      'parted. Nothing was written. Open it with $transaction of the client that has the factlib extension; an ' +
      'extension that runs each operation in a transaction of its own cannot be used together with models',
  )
}
