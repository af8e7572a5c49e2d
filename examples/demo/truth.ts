import type pg from 'pg'

/** The order in which the events of one aggregate happen. */
export const EVENTS_IN_ORDER = ['customer.registered', 'order.placed', 'order.gift_added', 'order.paid'] as const

export interface BusinessRow {
  readonly eventType: string
  readonly aggregateId: string
}

/** What is in the database is what must be in Kafka: each row that committed is one fact, and nothing else is. */
export async function readTruth(database: pg.Pool): Promise<BusinessRow[]> {
  const { rows } = await database.query<BusinessRow>(`
    SELECT 'customer.registered' AS "eventType", id AS "aggregateId" FROM customers
    UNION ALL SELECT 'order.placed', id FROM orders
    UNION ALL SELECT 'order.gift_added', order_id FROM order_items
    UNION ALL SELECT 'order.paid', id FROM orders WHERE status = 'paid'`)
  return rows
}
