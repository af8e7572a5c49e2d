// What emitting a fact costs with plain pg, against an INSERT into an outbox table.
//   npx tsx bench/emit/pg.mts [--write]
import pg from 'pg'
import { createEmitter } from '../../adapters/pg/index.ts'
import { benchEmit } from './harness.mts'
import { insertInto } from './plain-outbox.mts'

const TRANSACTIONS = 50
const { emitFact } = createEmitter({ prefix: 'bench' })

await benchEmit(async (url, measure) => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  for (let i = 0; i < TRANSACTIONS; i++) {
    await client.query('BEGIN')
    await client.query('SELECT pg_current_xact_id()')
    await measure({
      name: 'pg 8.23.1',
      emitOne: (fact) => emitFact(client, fact),
      insertOne: (row) => insertInto(client, row),
      emitTen: (facts) => emitFact(client, facts),
    })
    await client.query('COMMIT')
  }
  await client.end()
})
