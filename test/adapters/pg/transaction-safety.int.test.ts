import pg from 'pg'
import { afterAll, beforeAll, it } from 'vitest'
import { emitWith } from '../../../src/emitter.ts'
import { describeBrokenAdapters } from '../../contracts/broken-adapters.ts'
import { createSafetyEvidence } from '../../contracts/safety-evidence.ts'
import {
  type AdapterUnderTest,
  describeTransactionSafety,
  provesUnsafe,
  type SafetyEvidence,
} from '../../contracts/transaction-safety.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { emitFact, pgUnderTest } from './pg-under-test.ts'

let database: TestDatabase
let pool: pg.Pool
let other: pg.Pool
let single: pg.Pool
let evidence: SafetyEvidence

beforeAll(async () => {
  database = await createDatabase()
  evidence = await createSafetyEvidence(database)
  pool = new pg.Pool({ connectionString: database.url, max: 8 })
  other = new pg.Pool({ connectionString: database.url, max: 8 })
  single = new pg.Pool({ connectionString: database.url, max: 1 })
})
afterAll(() => Promise.all([pool.end(), other.end(), single.end()]))

describeTransactionSafety('pg, clients of a pool', () => ({ adapter: pgUnderTest('pg', pool, other), evidence }), {
  table: 'transactions',
  orm: 'pg',
  version: '8.23.1',
  way: 'client of a pool',
})

describeTransactionSafety(
  'pg, one client',
  () => ({
    adapter: {
      ...pgUnderTest('pg, one client', single, other),
      // The client itself, between its transactions.
      emitOutside: async (emission) => {
        const client = await single.connect()
        try {
          return await emitFact(client, emission as object as never)
        } finally {
          client.release()
        }
      },
    },
    evidence,
  }),
  { table: 'transactions', orm: 'pg', version: '8.23.1', way: 'one client' },
)

describeBrokenAdapters('pg', () => ({ adapter: pgUnderTest('pg', pool, other), evidence, database }))

it.each(['a committed transaction takes no more facts', 'a rolled back transaction takes no more facts'] as const)(
  'the contract notices an adapter that does not ask PostgreSQL for the transaction: %s',
  async (row) => {
    const unguarded: AdapterUnderTest<pg.PoolClient>['emit'] = (client, emission) =>
      emitWith({ execute: ({ text, values }) => client.query(text, [...values]) }, emission as object as never, {
        prefix: 'shop',
      })
    await provesUnsafe(row, { ...pgUnderTest('pg, unguarded', pool, other), emit: unguarded }, evidence)
  },
)
