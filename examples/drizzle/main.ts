import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import pg from 'pg'
// In your project: from 'factlib/drizzle'
import { checkEmission, createEmitter, guardTransactions } from '../../adapters/drizzle/index.ts'

const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'] })
const db = guardTransactions(drizzle(pool))
const { emitFact } = createEmitter({ prefix: 'shop' })

const orders = pgTable('drizzle_orders', { id: text().primaryKey(), totalCents: integer('total_cents').notNull() })

async function placeOrder(id: string, totalCents: number): Promise<void> {
  await db.transaction(async (tx) => {
    const [order] = await tx.insert(orders).values({ id, totalCents }).returning()
    await emitFact(tx, { aggregateType: 'order', aggregateId: id, eventType: 'order.placed', payload: order ?? null })
    if (totalCents < 0) throw new Error('an order costs something')
  })
}

try {
  const check = await checkEmission(db)
  for (const { message, remedy } of check.problems) console.warn(`facts would be lost: ${message}; ${remedy}`)
  await db.execute('CREATE TABLE IF NOT EXISTS drizzle_orders (id text PRIMARY KEY, total_cents integer NOT NULL)')
  const id = `drizzle-${Date.now()}`
  await placeOrder(id, 1200)
  console.log(`placed ${id}: row and fact`)
  await placeOrder(`${id}-refused`, -1).catch((error: Error) =>
    console.log(`refused: ${error.message}; neither row nor fact`),
  )
} finally {
  await pool.end()
}
