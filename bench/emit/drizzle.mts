// What emitting a fact costs with Drizzle, against Drizzle's own insert into an outbox table; on both drivers.
//   npx tsx bench/emit/drizzle.mts [--write]
import { drizzle as drizzleNodePostgres, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { drizzle as drizzlePostgresJs } from 'drizzle-orm/postgres-js'
import pg from 'pg'
import postgres from 'postgres'
import { createEmitter } from '../../adapters/drizzle/index.ts'
import { benchEmit } from './harness.mts'
import { plainOutbox } from './plain-outbox.mts'

const TRANSACTIONS = 50
const { emitFact } = createEmitter({ prefix: 'bench' })

const drivers = {
  'node-postgres': (url: string) => {
    const pool = new pg.Pool({ connectionString: url, max: 1 })
    return { db: drizzleNodePostgres(pool), close: () => pool.end() }
  },
  'postgres-js': (url: string) => {
    const client = postgres(url, { max: 1 })
    // The methods used here are those of the other driver.
    return { db: drizzlePostgresJs(client) as unknown as NodePgDatabase, close: () => client.end() }
  },
}

for (const [driver, open] of Object.entries(drivers)) {
  await benchEmit(async (url, measure) => {
    const { db, close } = open(url)
    for (let i = 0; i < TRANSACTIONS; i++) {
      await db.transaction(async (tx) => {
        // A fact that is the first write of its transaction is another case: first-write.mts.
        await tx.execute('SELECT pg_current_xact_id()')
        await measure({
          name: `Drizzle 0.45.4, ${driver}`,
          emitOne: (fact) => emitFact(tx, fact),
          insertOne: (row) => tx.insert(plainOutbox).values(row),
          emitTen: (facts) => emitFact(tx, facts),
        })
      })
    }
    await close()
  })
}
