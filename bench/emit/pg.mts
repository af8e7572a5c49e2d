// What emitting a fact costs with plain pg, against an INSERT into an outbox table.
//   npx tsx bench/emit/pg.mts [--write]
import pg from 'pg'
import { createEmitter } from '../../adapters/pg/index.ts'
import { benchEmit, type OutboxRow } from './harness.mts'

const TRANSACTIONS = 50
const INSERT = `INSERT INTO plain_outbox (id, aggregate_type, aggregate_id, event_type, payload, metadata)
  VALUES ($1, $2, $3, $4, $5, $6)`
const { emitFact } = createEmitter({ prefix: 'bench' })

await benchEmit(async (url, measure) => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const insertOne = ({ id, aggregateType, aggregateId, eventType, payload, metadata }: OutboxRow) =>
    client.query(INSERT, [id, aggregateType, aggregateId, eventType, payload, metadata])
  for (let i = 0; i < TRANSACTIONS; i++) {
    await client.query('BEGIN')
    await client.query('SELECT pg_current_xact_id()')
    await measure({
      name: 'pg 8.23.1',
      emitOne: (fact) => emitFact(client, fact),
      insertOne,
      emitTen: (facts) => emitFact(client, facts),
    })
    await client.query('COMMIT')
  }
  await client.end()
})
