// A fact against the INSERT of what it holds into `plain_outbox`, with plain pg: the statement alone, the whole call after a row,
// and ten in one call; and as the first write of its transaction, there with Drizzle, too. Medians, in turns. "light INSERT"
// is what a fact is not: five columns of text, no metadata, no created-at.
//   npx tsx bench/emit/first-write.mts
import { randomUUID } from 'node:crypto'
import { drizzle as drizzleNodePostgres, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { drizzle as drizzlePostgresJs } from 'drizzle-orm/postgres-js'
import pg from 'pg'
import postgres from 'postgres'
import * as forDrizzle from '../../adapters/drizzle/index.ts'
import * as forPg from '../../adapters/pg/index.ts'
import { encodeFact } from '../../src/envelope/encode.ts'
import { Fact } from '../../src/fact.ts'
import { emitOneStatement, type Statement } from '../../src/statements.ts'
import { fact, inTurns, medianMicros, type OutboxRow, PAYLOAD, row, ten, timed, withDatabase } from './harness.mts'
import { insertInto, plainOutbox } from './plain-outbox.mts'

const ROUNDS = 1_000
/** Facts and INSERTs before anything is measured: a service has compiled its code long ago. */
const WARM_UP_ROUNDS = 3_000
const { emitFact } = forPg.createEmitter({ prefix: 'bench' })
const drizzleEmitter = forDrizzle.createEmitter({ prefix: 'bench' })

const LIGHT_TABLE =
  'CREATE TABLE light_outbox (id uuid PRIMARY KEY, aggregate_type text, aggregate_id text, event_type text, payload text)'
const LIGHT_INSERT =
  'INSERT INTO light_outbox (id, aggregate_type, aggregate_id, event_type, payload) VALUES ($1, $2, $3, $4, $5)'

/** Two by two, because what runs more often than the other finds the processor's caches warmer. */
interface Pair {
  readonly title: string
  readonly fact: () => Promise<unknown>
  readonly insert: () => Promise<unknown>
}

/** Both as often as each other, in turns; a line of a table. */
async function compare(
  { title, fact, insert }: Pair,
  rounds: number,
  around: (run: () => Promise<unknown>) => Promise<unknown>,
): Promise<void> {
  const factMs: number[] = []
  const insertMs: number[] = []
  await inTurns(rounds, [() => around(() => timed(factMs, fact)), () => around(() => timed(insertMs, insert))])
  const [factMicros, insertMicros] = [medianMicros(factMs), medianMicros(insertMs)]
  console.log(`| ${title} | ${factMicros} µs | ${insertMicros} µs | ${(factMicros / insertMicros).toFixed(2)} |`)
}

console.log('| | a fact | INSERT | ratio |\n| --- | --- | --- | --- |')
await withDatabase(async (url) => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(LIGHT_TABLE)
  const insert = () => insertInto(client, row())
  const lightInsert = () =>
    client.query(LIGHT_INSERT, [randomUUID(), 'order', randomUUID(), 'order.paid', JSON.stringify(PAYLOAD)])
  const emit = () => emitFact(client, fact())

  const afterRow = async (pair: Pair) => {
    await client.query('BEGIN')
    await insert()
    await compare(pair, ROUNDS, (run) => run())
    await client.query('COMMIT')
  }
  const tenTimes = (run: () => Promise<unknown>) => async () => {
    for (let i = 0; i < 10; i++) await run()
  }
  await client.query('BEGIN')
  await inTurns(WARM_UP_ROUNDS, [emit, insert, lightInsert])
  await client.query('COMMIT')
  // What PostgreSQL and the driver take alone: the bytes of the facts, and the rows, are there before.
  const statements = Array.from({ length: ROUNDS }, () =>
    emitOneStatement({ prefix: 'bench', content: encodeFact(new Fact(fact())) }),
  )
  const rows = Array.from({ length: ROUNDS }, row)
  const plainSql = async () => {
    const { text, values } = statements.pop() as Statement
    await client.query(text, [...values])
  }
  await afterRow({
    title: 'plain SQL: the statement, a fact encoded before',
    fact: plainSql,
    insert: () => insertInto(client, rows.pop() as OutboxRow),
  })
  await afterRow({ title: 'pg, after the row', fact: emit, insert })
  await afterRow({ title: 'pg, after the row; light INSERT', fact: emit, insert: lightInsert })
  const emitTen = () => emitFact(client, ten())
  await afterRow({ title: 'pg, ten in one call; ten INSERTs', fact: emitTen, insert: tenTimes(insert) })
  await afterRow({ title: 'pg, ten in one call; ten light INSERTs', fact: emitTen, insert: tenTimes(lightInsert) })

  const inTransaction = async (run: () => Promise<unknown>) => {
    await client.query('BEGIN')
    await run()
    await client.query('COMMIT')
  }
  await compare({ title: 'pg, first write', fact: emit, insert }, ROUNDS, inTransaction)
  await compare({ title: 'pg, first write; light INSERT', fact: emit, insert: lightInsert }, ROUNDS, inTransaction)
  await client.end()

  const pool = new pg.Pool({ connectionString: url, max: 1 })
  const sql = postgres(url, { max: 1 })
  await firstWritesWithDrizzle('Drizzle, node-postgres', drizzleNodePostgres(pool))
  // The methods used here are those of the other driver.
  await firstWritesWithDrizzle('Drizzle, postgres-js', drizzlePostgresJs(sql) as unknown as NodePgDatabase)
  await pool.end()
  await sql.end()
})

async function firstWritesWithDrizzle(name: string, db: NodePgDatabase): Promise<void> {
  let tx: Parameters<Parameters<NodePgDatabase['transaction']>[0]>[0]
  const pair = {
    title: `${name}, first write`,
    fact: () => drizzleEmitter.emitFact(tx, fact()),
    insert: async () => void (await tx.insert(plainOutbox).values(row())),
  }
  await compare(pair, ROUNDS, (run) =>
    db.transaction(async (opened) => {
      tx = opened
      await run()
    }),
  )
}
