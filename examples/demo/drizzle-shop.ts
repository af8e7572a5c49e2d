import { eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import pg from 'pg'
// In your project: from 'factlib/drizzle'
import { emitFact } from '../../adapters/drizzle/index.ts'
import { CardDeclined, facts, GIFT, OutOfStock, type Shop, unlessOutOfStock } from './shop.ts'

const customers = pgTable('customers', { id: text().primaryKey(), name: text().notNull() })
const orders = pgTable('orders', {
  id: text().primaryKey(),
  customerId: text('customer_id').notNull(),
  status: text().notNull().default('new'),
  totalCents: integer('total_cents').notNull(),
})
const orderItems = pgTable('order_items', { orderId: text('order_id').notNull(), sku: text().notNull() })

/** The shop on Drizzle, with node-postgres. */
export function openDrizzleShop(databaseUrl: string): Shop {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 4 })
  pool.on('error', () => {})
  const db = drizzle(pool)
  return {
    name: 'Drizzle',

    register: (customer) =>
      db.transaction(async (tx) => {
        await tx.insert(customers).values(customer)
        return [await emitFact(tx, facts.registered(customer))]
      }),

    placeOrder: (order) =>
      db.transaction(async (tx) => {
        const { id, customerId, totalCents } = order
        await tx.insert(orders).values({ id, customerId, totalCents })
        const factIds = [await emitFact(tx, facts.placed(order))]
        if (order.gift) {
          // A transaction inside a transaction: Drizzle makes a savepoint of it.
          const gift = tx.transaction(async (savepoint) => {
            await savepoint.insert(orderItems).values({ orderId: id, sku: GIFT })
            const factId = await emitFact(savepoint, facts.giftAdded(order))
            if (order.gift === 'out of stock') throw new OutOfStock(GIFT)
            return factId
          })
          factIds.push(...(await unlessOutOfStock(gift)))
        }
        if (order.cardDeclined) throw new CardDeclined(id)
        return factIds
      }),

    pay: (orderId) =>
      db.transaction(async (tx) => {
        await tx.update(orders).set({ status: 'paid' }).where(eq(orders.id, orderId))
        return [await emitFact(tx, facts.paid(orderId))]
      }),

    close: () => pool.end(),
  }
}
