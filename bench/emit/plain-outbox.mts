// The INSERT that a fact is measured against: what a fact holds, as a row of `plain_outbox` of prisma/schema.sql.
import { customType, jsonb, pgTable, text, uuid } from 'drizzle-orm/pg-core'
import type pg from 'pg'
import type { OutboxRow } from './harness.mts'

const INSERT = `INSERT INTO plain_outbox (id, aggregate_type, aggregate_id, event_type, payload, metadata)
  VALUES ($1, $2, $3, $4, $5, $6)`

/** With plain pg. */
export async function insertInto(client: pg.Client, row: OutboxRow): Promise<void> {
  const { id, aggregateType, aggregateId, eventType, payload, metadata } = row
  await client.query(INSERT, [id, aggregateType, aggregateId, eventType, payload, metadata])
}

const bytea = customType<{ data: Uint8Array }>({ dataType: () => 'bytea' })

/** For Drizzle. */
export const plainOutbox = pgTable('plain_outbox', {
  id: uuid().primaryKey(),
  aggregateType: text('aggregate_type'),
  aggregateId: text('aggregate_id'),
  eventType: text('event_type'),
  payload: bytea(),
  metadata: jsonb(),
})
