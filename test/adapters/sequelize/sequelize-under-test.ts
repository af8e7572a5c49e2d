import { DataTypes, type Options, Sequelize, type Transaction } from 'sequelize'
import { createEmitter } from '../../../adapters/sequelize/index.ts'
import type { AdapterUnderTest } from '../../contracts/transaction-safety.ts'
import { createClsNamespace } from './cls-namespace.ts'

export const { emitFact } = createEmitter({ prefix: 'shop', maxFactBytes: 2_000_000 })

export function openSequelize(url: string, options: Options = {}): Sequelize {
  const sequelize = new Sequelize(url, { dialect: 'postgres', logging: false, pool: { max: 4 }, ...options })
  // Its xact_id is left to its default.
  sequelize.define(
    'customer',
    { id: { type: DataTypes.TEXT, primaryKey: true } },
    { tableName: 'customers', timestamps: false },
  )
  return sequelize
}

/** From now on every instance finds its current transaction by itself; until `stop`. */
export function useCls(): { readonly stop: () => void } {
  Sequelize.useCLS(createClsNamespace())
  return { stop: () => void Reflect.deleteProperty(Sequelize, '_cls') }
}

/** The adapter with the transaction option, for the transaction contract. */
export function sequelizeUnderTest(
  name: string,
  sequelize: Sequelize,
  other: Sequelize = sequelize,
): AdapterUnderTest<Transaction> {
  return {
    name,
    transaction: (body) => sequelize.transaction(body),
    savepoint: (transaction, body) => sequelize.transaction({ transaction }, body),
    insertRow: async (transaction, id) => void (await sequelize.model('customer').create({ id }, { transaction })),
    failStatement: async (transaction) => void (await sequelize.query('SELECT 1 / 0', { transaction })),
    statement: async (transaction, text) => void (await sequelize.query(text, { transaction })),
    otherPoolTransaction: (body) => other.transaction(body),
    emit: (transaction, emission) => emitFact(sequelize, emission, { transaction }),
    emitOutside: (emission) => emitFact(sequelize, emission),
  }
}

/** The adapter without the option: `useCls` has to be in force. */
export function sequelizeWithClsUnderTest(
  name: string,
  sequelize: Sequelize,
  other: Sequelize = sequelize,
): AdapterUnderTest<Transaction> {
  return {
    ...sequelizeUnderTest(name, sequelize, other),
    insertRow: async (_transaction, id) => void (await sequelize.model('customer').create({ id })),
    emit: (_transaction, emission) => emitFact(sequelize, emission),
  }
}

/** The error of a fact that the database refuses while its transaction is being rolled back. */
export async function refusedWhileEnding(open: (options: Options) => Sequelize): Promise<unknown> {
  let end = () => {}
  // Sequelize logs a statement right before it sends it.
  const sequelize = open({ logging: (text) => text.includes('pg_logical_emit_message') && end() })
  const { startUnmanagedTransaction } = sequelize as { startUnmanagedTransaction?: () => Promise<Transaction> }
  // Its name in 7.
  const transaction = await (startUnmanagedTransaction?.call(sequelize) ?? sequelize.transaction())
  await sequelize.query('SELECT 1 / 0', { transaction }).catch(() => {})
  let ended: Promise<unknown> = Promise.resolve()
  end = () => {
    ended = transaction.rollback()
  }
  const fact = { aggregateType: 'customer', aggregateId: 1, eventType: 'x' }
  const error: unknown = await emitFact(sequelize, fact, { transaction }).catch((reason: unknown) => reason)
  await ended
  return error
}
