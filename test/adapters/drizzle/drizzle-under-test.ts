import { sql } from 'drizzle-orm'
import { drizzle as drizzleNodePostgres, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { pgTable, text } from 'drizzle-orm/pg-core'
import { drizzle as drizzlePostgresJs, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import pg from 'pg'
import postgres from 'postgres'
import { createEmitter, type DrizzleTransactionLike, guardTransactions } from '../../../adapters/drizzle/index.ts'
import type { AdapterUnderTest, Emission } from '../../contracts/transaction-safety.ts'

/** Its `xact_id` is left to its default. */
export const customers = pgTable('customers', { id: text().primaryKey() })

export const { emitFact } = createEmitter({ prefix: 'shop', maxFactBytes: 2_000_000 })

export type Db = NodePgDatabase | PostgresJsDatabase
export type Tx = Parameters<Parameters<Db['transaction']>[0]>[0]

/** One driver in one of its modes. */
export interface OpenedDrizzle {
  readonly db: Db
  /** The texts of all queries since the file began, as Drizzle's logger has them. */
  readonly logged: string[]
  close(): Promise<void>
}

export interface OpenOptions {
  readonly url: string
  /** Default 4. */
  readonly maxConnections?: number
  readonly casing?: 'snake_case'
}

export type DriverName = keyof typeof drivers

/** Every driver and mode that the contract is run on. */
export const drivers = {
  'node-postgres, pool': openNodePostgres,
  'node-postgres, pipelining pool': (options: OpenOptions) => openNodePostgres(options, { pipeline: true }),
  'node-postgres, one client': openNodePostgresClient,
  'postgres-js': (options: OpenOptions) => openPostgresJs(options, true),
  'postgres-js, prepare: false': (options: OpenOptions) => openPostgresJs(options, false),
} as const satisfies Record<string, (options: OpenOptions) => OpenedDrizzle | Promise<OpenedDrizzle>>

function openNodePostgres({ url, maxConnections = 4, casing }: OpenOptions, more: object = {}): OpenedDrizzle {
  const pool = new pg.Pool({ connectionString: url, max: maxConnections, ...more })
  const { logged, logger } = recorder()
  const db = drizzleNodePostgres(pool, { logger, ...(casing && { casing }) })
  return { db, logged, close: () => pool.end() }
}

async function openNodePostgresClient({ url, casing }: OpenOptions): Promise<OpenedDrizzle> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const { logged, logger } = recorder()
  const db = oneAtATime(drizzleNodePostgres(client, { logger, ...(casing && { casing }) }))
  return { db, logged, close: () => client.end() }
}

/** On one client Drizzle would begin a second transaction inside the first one: whoever has one client has to queue. */
function oneAtATime(db: NodePgDatabase): NodePgDatabase {
  const open = db.transaction.bind(db)
  let last: Promise<unknown> = Promise.resolve()
  db.transaction = (body, config) => {
    const next = last.then(() => open(body, config))
    last = next.catch(() => {})
    return next
  }
  return db
}

function openPostgresJs({ url, maxConnections = 4, casing }: OpenOptions, prepare: boolean): OpenedDrizzle {
  const client = postgres(url, { max: maxConnections, prepare, onnotice: () => {} })
  const { logged, logger } = recorder()
  const db = drizzlePostgresJs(client, { logger, ...(casing && { casing }) })
  return { db, logged, close: () => client.end() }
}

function recorder(): { logged: string[]; logger: { logQuery(query: string): void } } {
  const logged: string[] = []
  return { logged, logger: { logQuery: (query) => logged.push(query) } }
}

/** The adapter on this database, for the transaction contract. */
export function drizzleUnderTest(name: string, db: Db, guarded = false, other: Db = db): AdapterUnderTest<Tx> {
  const database = guarded ? guardTransactions(db) : db
  return {
    name,
    transaction: (body) => inTransaction(database, body),
    savepoint: (tx, body) => inTransaction(tx, body),
    insertRow: async (tx, id) => void (await tx.insert(customers).values({ id })),
    failStatement: async (tx) => void (await tx.execute(sql`SELECT 1 / 0`)),
    statement: async (tx, statement) => void (await tx.execute(sql.raw(statement))),
    otherPoolTransaction: (body) => inTransaction(other, body),
    emit: (tx, emission) => emitFact(tx, emission as Emission & object),
    emitOutside: (emission) => emitFact(database as unknown as DrizzleTransactionLike, emission as Emission & object),
  }
}

/** Both drivers have the same method; TypeScript cannot call a union of generic methods. */
export function inTransaction<Result>(owner: Db | Tx, body: (tx: Tx) => Promise<Result>): Promise<Result> {
  return (owner as NodePgDatabase).transaction(body)
}
