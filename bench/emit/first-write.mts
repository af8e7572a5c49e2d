// A fact that is the first write of its transaction, against an INSERT that is; and with plain pg one fact, and ten in one
// statement, against INSERTs. Medians, in turns.
//   npx tsx bench/emit/first-write.mts
import { randomUUID } from 'node:crypto'
import { drizzle as drizzleNodePostgres, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { pgTable, text, uuid } from 'drizzle-orm/pg-core'
import { drizzle as drizzlePostgresJs } from 'drizzle-orm/postgres-js'
import pg from 'pg'
import postgres from 'postgres'
import * as forDrizzle from '../../adapters/drizzle/index.ts'
import * as forPg from '../../adapters/pg/index.ts'
import type { FactInput } from '../../src/fact.ts'
import { providePostgres } from '../../test/support/services/provide.ts'

const ROUNDS = 600
const PAYLOAD = { id: 7, status: 'paid', note: 'x'.repeat(250) }
const outbox = pgTable('bench_outbox', {
  id: uuid().primaryKey(),
  aggregateType: text('aggregate_type'),
  aggregateId: text('aggregate_id'),
  eventType: text('event_type'),
  payload: text(),
})
const fact = (): FactInput => ({
  prefix: 'bench',
  aggregateType: 'order',
  aggregateId: randomUUID(),
  eventType: 'order.paid',
  payload: PAYLOAD,
})
const row = () => ({
  id: randomUUID(),
  aggregateType: 'order',
  aggregateId: randomUUID(),
  eventType: 'order.paid',
  payload: JSON.stringify(PAYLOAD),
})

type Times = Record<string, number[]>

async function timed(times: Times, name: string, run: () => Promise<unknown>): Promise<void> {
  const startedMs = performance.now()
  await run()
  const list = times[name] ?? []
  times[name] = list
  list.push(performance.now() - startedMs)
}

function show(title: string, times: Times): void {
  const medians = Object.entries(times).map(([name, list]) => {
    const sorted = list.slice(list.length / 10).sort((a, b) => a - b)
    return [name, sorted[sorted.length >> 1]! * 1000] as const
  })
  medians.sort(([name]) => (name.includes('fact') ? -1 : 1))
  const against = medians.at(-1)![1]
  for (const [name, micros] of medians)
    console.log(`${title} | ${name} | ${micros.toFixed(0)} µs | ${(micros / against).toFixed(2)}`)
}

const server = await providePostgres()
const client = new pg.Client({ connectionString: server.url })
await client.connect()
await client.query(
  'CREATE TABLE bench_outbox (id uuid PRIMARY KEY, aggregate_type text, aggregate_id text, event_type text, payload text)',
)
try {
  const INSERT =
    'INSERT INTO bench_outbox (id, aggregate_type, aggregate_id, event_type, payload) VALUES ($1, $2, $3, $4, $5)'
  const insert = () => client.query(INSERT, Object.values(row()))
  const one: Times = {}
  const ten: Times = {}
  const first: Times = {}
  for (let round = 0; round < ROUNDS; round++) {
    await client.query('BEGIN')
    await client.query('SELECT pg_current_xact_id()')
    // In turns: the first statement of a transaction is slower than the next.
    const steps = [
      () => timed(one, 'one fact', () => forPg.emitFact(client, fact())),
      () => timed(one, 'one INSERT', insert),
    ]
    for (const step of round % 2 === 0 ? steps : steps.reverse()) await step()
    await timed(ten, 'ten facts, one call', () => forPg.emitFact(client, Array.from({ length: 10 }, fact)))
    await timed(ten, 'ten INSERTs', async () => {
      for (let i = 0; i < 10; i++) await insert()
    })
    await client.query('COMMIT')
    for (const [name, run] of [
      ['first write: one fact', () => forPg.emitFact(client, fact())],
      ['first write: one INSERT', insert],
    ] as const) {
      await client.query('BEGIN')
      await timed(first, name, run)
      await client.query('COMMIT')
    }
  }
  show('pg', one)
  show('pg', ten)
  show('pg', first)

  const pool = new pg.Pool({ connectionString: server.url, max: 1 })
  const sql = postgres(server.url, { max: 1 })
  const databases = {
    'Drizzle, node-postgres': drizzleNodePostgres(pool),
    'Drizzle, postgres-js': drizzlePostgresJs(sql) as unknown as NodePgDatabase,
  }
  for (const [name, db] of Object.entries(databases)) {
    const times: Times = {}
    for (let round = 0; round < ROUNDS / 3; round++) {
      await db.transaction((tx) => timed(times, 'first write: one fact', () => forDrizzle.emitFact(tx, fact())))
      await db.transaction((tx) =>
        timed(times, 'first write: one insert', async () => void (await tx.insert(outbox).values(row()))),
      )
    }
    show(name, times)
  }
  await pool.end()
  await sql.end()
} finally {
  await client.query('DROP TABLE bench_outbox')
  await client.end()
  await server.stop()
}
