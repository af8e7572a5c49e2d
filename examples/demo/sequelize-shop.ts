import { DataTypes, Sequelize } from 'sequelize'
// In your project: from 'factlib/sequelize'
import { emitFact } from '../../adapters/sequelize/index.ts'
import { CardDeclined, facts, GIFT, OutOfStock, type Shop, unlessOutOfStock } from './shop.ts'

/** The shop on Sequelize 6. */
export function openSequelizeShop(databaseUrl: string): Shop {
  const sequelize = new Sequelize(databaseUrl, { dialect: 'postgres', logging: false, pool: { max: 4 } })
  const Customer = sequelize.define(
    'customer',
    { id: { type: DataTypes.TEXT, primaryKey: true }, name: DataTypes.TEXT },
    { tableName: 'customers', timestamps: false },
  )
  const Order = sequelize.define(
    'order',
    {
      id: { type: DataTypes.TEXT, primaryKey: true },
      customerId: { type: DataTypes.TEXT, field: 'customer_id' },
      status: { type: DataTypes.TEXT, defaultValue: 'new' },
      totalCents: { type: DataTypes.INTEGER, field: 'total_cents' },
    },
    { tableName: 'orders', timestamps: false },
  )
  const OrderItem = sequelize.define(
    'order_item',
    {
      id: { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true },
      orderId: { type: DataTypes.TEXT, field: 'order_id' },
      sku: DataTypes.TEXT,
    },
    { tableName: 'order_items', timestamps: false },
  )
  return {
    name: 'Sequelize',

    register: (customer) =>
      sequelize.transaction(async (transaction) => {
        await Customer.create({ ...customer }, { transaction })
        return [await emitFact(sequelize, facts.registered(customer), { transaction })]
      }),

    placeOrder: (order) =>
      sequelize.transaction(async (transaction) => {
        const { id, customerId, totalCents } = order
        await Order.create({ id, customerId, totalCents }, { transaction })
        const factIds = [await emitFact(sequelize, facts.placed(order), { transaction })]
        if (order.gift) {
          // A transaction inside a transaction: Sequelize makes a savepoint of it.
          const gift = sequelize.transaction({ transaction }, async (savepoint) => {
            await OrderItem.create({ orderId: id, sku: GIFT }, { transaction: savepoint })
            const factId = await emitFact(sequelize, facts.giftAdded(order), { transaction: savepoint })
            if (order.gift === 'out of stock') throw new OutOfStock(GIFT)
            return factId
          })
          factIds.push(...(await unlessOutOfStock(gift)))
        }
        if (order.cardDeclined) throw new CardDeclined(id)
        return factIds
      }),

    pay: (orderId) =>
      sequelize.transaction(async (transaction) => {
        await Order.update({ status: 'paid' }, { where: { id: orderId }, transaction })
        return [await emitFact(sequelize, facts.paid(orderId), { transaction })]
      }),

    close: () => sequelize.close(),
  }
}
