import { DataTypes, Sequelize } from 'sequelize'
// In your project: from 'factlib/sequelize'
import { checkEmission, createEmitter } from '../../adapters/sequelize/index.ts'

const sequelize = new Sequelize(process.env['DATABASE_URL'] ?? '', { dialect: 'postgres', logging: false })
const { emitFact } = createEmitter({ prefix: 'shop' })

const Order = sequelize.define(
  'order',
  { id: { type: DataTypes.TEXT, primaryKey: true }, totalCents: { type: DataTypes.INTEGER, field: 'total_cents' } },
  { tableName: 'sequelize_orders', timestamps: false },
)

async function placeOrder(id: string, totalCents: number): Promise<void> {
  await sequelize.transaction(async (transaction) => {
    const order = await Order.create({ id, totalCents }, { transaction })
    const fact = { aggregateType: 'order', aggregateId: id, eventType: 'order.placed', payload: order.get() }
    await emitFact(sequelize, fact, { transaction })
    if (totalCents < 0) throw new Error('an order costs something')
  })
}

try {
  const check = await checkEmission(sequelize)
  for (const { message, remedy } of check.problems) console.warn(`facts would be lost: ${message}; ${remedy}`)
  await Order.sync()
  const id = `sequelize-${Date.now()}`
  await placeOrder(id, 1200)
  console.log(`placed ${id}: row and fact`)
  await placeOrder(`${id}-refused`, -1).catch((error: Error) =>
    console.log(`refused: ${error.message}; neither row nor fact`),
  )
} finally {
  await sequelize.close()
}
