/** Compiled, never run: the real Sequelize satisfies the structural types, and what must not compile does not. */
import type { Sequelize, Transaction } from 'sequelize'
import {
  checkEmission,
  emitFact,
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
