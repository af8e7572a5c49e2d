import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
// In your project: from 'factlib'
import { configure } from '../../src/index.ts'
import { emitFact } from './kysely-executor.ts'

interface Tables {
  kysely_orders: { id: string; total_cents: number }
}

configure({ prefix: 'shop' })
const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'] })
const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })

async function placeOrder(id: string, totalCents: number): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await trx.insertInto('kysely_orders').values({ id, total_cents: totalCents }).execute()
    await emitFact(trx, {
      aggregateType: 'order',
      aggregateId: id,
      eventType: 'order.placed',
      payload: { id, totalCents },
    })
    if (totalCents < 0) throw new Error('an order costs something')
  })
}

try {
  await db.schema
    .createTable('kysely_orders')
    .ifNotExists()
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('total_cents', 'integer')
    .execute()
  const id = `kysely-${Date.now()}`
  await placeOrder(id, 1200)
  console.log(`placed ${id}: row and fact`)
  await placeOrder(`${id}-refused`, -1).catch((error: Error) =>
    console.log(`refused: ${error.message}; neither row nor fact`),
  )
} finally {
  await db.destroy()
}
