import { NotInTransactionError } from '../../src/errors.ts'
import type { SequelizeLike, SequelizeTransactionLike } from './sequelize-like.ts'

/** What a transaction of Sequelize has besides what its types show; 6 has the connection itself, 7 a method for it. */
interface TransactionState {
  readonly id?: unknown
  readonly sequelize?: unknown
  readonly finished?: unknown
  readonly parent?: TransactionState | null
  readonly connection?: Connection
  readonly getConnectionIfExists?: () => Connection
}

type Connection = { readonly uuid?: unknown } | null | undefined

/** The namespace of `Sequelize.useCLS`; Sequelize 6 keeps it on the class. */
interface WithNamespace {
  readonly _cls?: { get(key: string): unknown } | null
}

/** Sequelize 7 knows the current transaction of each instance. */
interface WithCurrentTransaction {
  readonly getCurrentClsTransaction?: () => unknown
}

const NOT_WRITTEN = 'the fact was not written'

/**
 * The transaction to emit in: the given one, or with `Sequelize.useCLS` the current one. `null` asks for none, as in
 * Sequelize's own methods.
 *
 * What is returned behaves as the transaction, but is `finished` also when an outer transaction is, or when its
 * connection was given to somebody else. Sequelize looks at `finished` right before it sends a statement, after its own
 * waiting and the `beforeQuery` hooks; and it sets it before it sends COMMIT. So nothing can slip behind the end.
 *
 * @throws NotInTransactionError when there is none, when it is over, has not begun, or is of another Sequelize instance.
 */
export function openTransaction(
  sequelize: SequelizeLike,
  given: SequelizeTransactionLike | null | undefined,
): SequelizeTransactionLike {
  const transaction = given === undefined ? currentTransaction(sequelize) : given
  if (transaction === undefined || transaction === null) {
    throw new NotInTransactionError(
      `no transaction, ${NOT_WRITTEN}: emitFact(sequelize, fact, { transaction }) inside sequelize.transaction(async (transaction) => …), or use Sequelize.useCLS`,
    )
  }
  const state = transaction as TransactionState
  // The namespace belongs to the class: with two instances it may hold the other one's transaction.
  if (state.sequelize !== sequelize) {
    throw new NotInTransactionError(
      `the transaction is not one of this Sequelize instance, ${NOT_WRITTEN}: pass what sequelize.transaction() gives, and the instance that gave it`,
    )
  }
  refuseFinished(state)
  // A proxy, and methods of the transaction itself: Sequelize 7 keeps its state in private fields.
  return new Proxy(transaction as SequelizeTransactionLike, {
    get(target, property) {
      if (property === 'finished') return finishedState(state)
      const value: unknown = Reflect.get(target, property, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** @throws NotInTransactionError when the transaction is over. */
export function refuseFinished(transaction: object): void {
  const finished = finishedState(transaction)
  if (finished === undefined) return
  throw new NotInTransactionError(
    `the transaction is not open (${String(finished)}), ${NOT_WRITTEN}: await emitFact between its begin and its end`,
  )
}

/** The current transaction of CLS, if it is in use; with Sequelize 6 of whatever instance. */
export function currentTransaction(sequelize: SequelizeLike): unknown {
  const { getCurrentClsTransaction } = sequelize as WithCurrentTransaction
  if (typeof getCurrentClsTransaction === 'function') return getCurrentClsTransaction.call(sequelize)
  return (sequelize.constructor as WithNamespace)._cls?.get('transaction')
}

function finishedState(transaction: TransactionState): unknown {
  for (let current: TransactionState | null | undefined = transaction; current; current = current.parent) {
    if (current.finished !== undefined) return current.finished
  }
  // Sequelize writes the transaction's id on its connection when it begins, and takes it off when the connection goes back.
  const connection = transaction.getConnectionIfExists?.() ?? transaction.connection
  return connection?.uuid === transaction.id ? undefined : 'not on its connection'
}
