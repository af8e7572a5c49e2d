/** Compiled, never run: the real Sequelize satisfies the structural types, and what must not compile does not. */
import type { CreationOptional, InferAttributes, Model, Sequelize, Transaction } from 'sequelize'
import {
  checkEmission,
  emitFact,
  installFactlib,
  type SequelizeLike,
  type SequelizeTransactionLike,
} from '../../../adapters/sequelize/index.ts'

declare const sequelize: Sequelize
declare const transaction: Transaction
declare const fact: { aggregateType: string; aggregateId: string; eventType: string }

export const instanceFits: SequelizeLike = sequelize
export const transactionFits: SequelizeTransactionLike = transaction

export async function compiled(): Promise<void> {
  const id: string = await emitFact(sequelize, fact, { transaction })
  const ids: string[] = await emitFact(sequelize, [fact], { transaction, prefix: 'shop' })
  await emitFact(sequelize, fact)
  await checkEmission(sequelize, { slot: 'factlib_slot', transaction })
  await sequelize.transaction(async (current) => void (await emitFact(sequelize, fact, { transaction: current })))
  void [id, ids]

  // @ts-expect-error an instance is not a transaction
  await emitFact(sequelize, fact, { transaction: sequelize })
  // @ts-expect-error a transaction is not an instance
  await emitFact(transaction, fact)
  // @ts-expect-error aggregateId is missing
  await emitFact(sequelize, { aggregateType: 'order', eventType: 'order.created' }, { transaction })
}

interface Order extends Model<InferAttributes<Order>> {
  id: CreationOptional<number>
  total: number
}

export function models(): () => void {
  const uninstall = installFactlib<{ Order: Order }>(sequelize, {
    prefix: 'shop',
    models: {
      Order: {
        created: (order, change) => {
          const total: number = order.total
          const operation: 'created' = change.operation
          void [total, operation, order.toJSON()]
          return { aggregateType: 'order', aggregateId: order.id, eventType: 'order.created', payload: order }
        },
        updated: (order, { changedFields }) =>
          changedFields?.includes('total')
            ? [{ aggregateType: 'order', aggregateId: order.id, eventType: 'order.updated' }]
            : undefined,
        // @ts-expect-error no such attribute
        deleted: (order) => ({ aggregateType: 'order', aggregateId: order.nothing, eventType: 'order.deleted' }),
      },
      // @ts-expect-error no such model
      Oder: {},
    },
  })
  // The type may stand at the parameter instead.
  installFactlib(sequelize, {
    models: {
      Order: { restored: (order: Order) => ({ aggregateType: 'order', aggregateId: order.id, eventType: 'x' }) },
    },
  })
  // Or nowhere: a row is then any instance, and the change keeps its type.
  installFactlib(sequelize, {
    models: {
      Order: {
        on: (row, { operation, model }) => {
          const told: ['created' | 'updated' | 'deleted' | 'restored', string] = [operation, model]
          void told
          return { aggregateType: 'order', aggregateId: String(row.get('id')), eventType: `order.${operation}` }
        },
        created: (row, change) => {
          const operation: 'created' = change.operation
          return { aggregateType: 'order', aggregateId: String(row['id']), eventType: `order.${operation}` }
        },
      },
    },
  })
  installFactlib<{ Order: Order }>(sequelize, {
    models: {
      Order: {
        on: (order, { model }) => {
          const name: 'Order' = model
          return { aggregateType: name, aggregateId: order.id, eventType: 'x' }
        },
      },
    },
  })
  // @ts-expect-error a mapper is synchronous
  installFactlib<{ Order: Order }>(sequelize, { models: { Order: { created: async () => undefined } } })
  return uninstall
}
