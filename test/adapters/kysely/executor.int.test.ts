/** The port by an example: Kysely, through the executor of examples/kysely. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { CompiledQuery, Kysely, PostgresDialect, sql, type Transaction } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { emitFact, executorOf } from '../../../examples/kysely/kysely-executor.ts'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { describeBrokenAdapters } from '../../contracts/broken-adapters.ts'
import { adapterOf, describeSqlExecutor, type LibraryUnderTest } from '../../contracts/executor.ts'
import { createSafetyEvidence } from '../../contracts/safety-evidence.ts'
import { provesUnsafe, type SafetyEvidence } from '../../contracts/transaction-safety.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { createSlot } from '../../support/slot.ts'

interface Tables {
  customers: { id: string }
}

let database: TestDatabase
let evidence: SafetyEvidence
let db: Kysely<Tables>
let other: Kysely<Tables>

function open(): Kysely<Tables> {
  return new Kysely<Tables>({
    dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: database.url, max: 8 }) }),
  })
}

beforeAll(async () => {
  database = await createDatabase()
  evidence = await createSafetyEvidence(database)
  db = open()
  other = open()
})
afterAll(() => Promise.all([db.destroy(), other.destroy()]))

let savepoints = 0

function kyselyUnderTest(): LibraryUnderTest<Transaction<Tables>> {
  return {
    name: 'kysely',
    transaction: (body) => db.transaction().execute(body),
    savepoint: async (trx, body) => {
      savepoints += 1
      const point = sql.raw(`point_${savepoints}`)
      await sql`SAVEPOINT ${point}`.execute(trx)
      try {
        await body(trx)
      } catch (error) {
        await sql`ROLLBACK TO SAVEPOINT ${point}`.execute(trx)
        throw error
      }
      await sql`RELEASE SAVEPOINT ${point}`.execute(trx)
    },
    insertRow: async (trx, id) => void (await trx.insertInto('customers').values({ id }).execute()),
    failStatement: async (trx) => void (await sql`SELECT 1 / 0`.execute(trx)),
    statement: async (trx, text) => void (await sql.raw(text).execute(trx)),
    otherPoolTransaction: (body) => other.transaction().execute(body),
    executor: executorOf,
    executorOutside: () => executorOf(db as Transaction<Tables>),
  }
}

describeSqlExecutor('kysely', () => ({ library: kyselyUnderTest(), evidence }), {
  table: 'transactions',
  orm: 'Kysely',
  version: '0.28.18',
  way: 'the example on the port',
})

describeBrokenAdapters('kysely', () => ({ adapter: adapterOf(kyselyUnderTest()), evidence, database }))

it('refuses the base client before anything is sent', async () => {
  const fact = { prefix: 'shop', aggregateType: 'customer', aggregateId: 1, eventType: 'x' }
  await expect(emitFact(db as Transaction<Tables>, fact)).rejects.toMatchObject({ code: 'FACTLIB_NOT_IN_TRANSACTION' })
})

describe('the contract notices an executor that', () => {
  const broken = (executor: LibraryUnderTest<Transaction<Tables>>['executor']) =>
    adapterOf({ ...kyselyUnderTest(), name: 'broken', executor, executorOutside: () => executor(db as never) })

  it('uses another connection', async () => {
    const adapter = broken(() => ({
      execute: ({ text, values }) => other.executeQuery(CompiledQuery.raw(text, [...values])),
    }))
    await provesUnsafe('a committed fact has the transaction id of its row', adapter, evidence)
    await provesUnsafe('a thrown error leaves neither row nor fact', adapter, evidence)
    await provesUnsafe('outside a transaction it is refused, and nothing is written', adapter, evidence)
  })

  it('sends a statement twice', async () => {
    const adapter = broken((trx) => ({
      execute: async (statement) => {
        await executorOf(trx).execute(statement)
        await executorOf(trx).execute(statement)
      },
    }))
    await provesUnsafe('a committed fact has the transaction id of its row', adapter, evidence)
  })

  it('settles before the database has answered', async () => {
    const adapter = broken((trx) => ({
      execute: async (statement) =>
        void executorOf(trx)
          .execute(statement)
          .catch(() => {}),
    }))
    await provesUnsafe('an aborted transaction takes no fact', adapter, evidence)
  })
})

it('the example places one order with its fact, and refuses the other with neither', async () => {
  const own = await createDatabase()
  const slot = await createSlot(own)
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', 'examples/kysely/main.ts'],
    { env: { ...process.env, DATABASE_URL: own.url, NODE_NO_WARNINGS: '1' } },
  )
  expect(stderr).toBe('')
  expect(stdout).toMatch(/^placed kysely-\d+: row and fact\nrefused: an order costs something; neither row nor fact\n$/)
  expect((await slot.read()).map(({ content }) => decodeFact(content).eventType)).toEqual(['order.placed'])
})
