import type { SequelizeInternals, TransactionInternals } from './model-internals.ts'

/**
 * What keeps a row from being committed without its fact, in a transaction of the user's: COMMIT waits for writes that
 * are still on their way (a forgotten `await`), and a transaction in which a fact could not be emitted cannot commit,
 * whoever catches the error. Rolling back to a savepoint before the write makes it whole again.
 */

interface Guard {
  readonly pending: Set<Promise<unknown>>
  failure?: unknown
}

const guards = new WeakMap<TransactionInternals, Guard>()

// A statement that PostgreSQL refuses, with its reason in the server's log: from here on COMMIT is a ROLLBACK.
const ABORT = "SELECT 'factlib: a row was written whose fact could not be, this transaction must not commit'::integer"

/** Runs a write and the emission of its facts; the transaction does not commit before it has ended, and never when it fails in `emit`. */
export async function insideGuard<Result>(
  transaction: TransactionInternals,
  work: () => Promise<Result>,
): Promise<Result> {
  const running = work()
  const all = [...withOuter(transaction)].map(guardOf)
  for (const { pending } of all) pending.add(running)
  try {
    return await running
  } finally {
    for (const { pending } of all) pending.delete(running)
  }
}

/** From now on the transaction cannot commit; `failure` is what its `commit()` throws. */
export async function refuseCommit(
  sequelize: SequelizeInternals,
  transaction: TransactionInternals,
  failure: unknown,
): Promise<void> {
  // Rolled back: the row is gone too.
  if ([...withOuter(transaction)].some(({ finished }) => finished === 'rollback')) return
  guardOf(transaction).failure ??= failure
  try {
    await sequelize.query(ABORT, { transaction, type: 'SELECT' })
  } catch {
    // That is its purpose.
  }
}

function* withOuter(transaction: TransactionInternals): Iterable<TransactionInternals> {
  for (let current: TransactionInternals | null | undefined = transaction; current; current = current.parent)
    yield current
}

function guardOf(transaction: TransactionInternals): Guard {
  const known = guards.get(transaction)
  if (known !== undefined) return known
  const guard: Guard = { pending: new Set() }
  guards.set(transaction, guard)
  const commit = transaction.commit
  const guarded = async (): Promise<void> => {
    while (guard.pending.size > 0) await Promise.allSettled(guard.pending)
    const failed = failedIn(transaction)
    if (failed !== undefined) {
      await rollBack(transaction)
      throw failed.failure
    }
    return commit.call(transaction)
  }
  Object.defineProperty(transaction, 'commit', { value: guarded, configurable: true, writable: true })
  return guard
}

/** The guard, of this transaction or of one of its savepoints that was kept, in which a fact could not be emitted. */
function failedIn(transaction: TransactionInternals): Guard | undefined {
  if (transaction.finished === 'rollback') return undefined
  const own = guards.get(transaction)
  if (own !== undefined && 'failure' in own) return own
  for (const savepoint of transaction.savepoints ?? []) {
    const failed = failedIn(savepoint)
    if (failed !== undefined) return failed
  }
  return undefined
}

async function rollBack(transaction: TransactionInternals): Promise<void> {
  try {
    await transaction.rollback()
  } catch {
    // The connection, or the transaction, is gone already; the failure is what the caller has to see.
  }
}
