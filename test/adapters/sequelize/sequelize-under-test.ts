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
