import pg from 'pg'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { emitWith } from '../../../src/emitter.ts'
import { createSafetyEvidence } from '../../contracts/safety-evidence.ts'
import {
  type AdapterUnderTest,
  describeTransactionSafety,
  provesUnsafe,
  type SafetyEvidence,
  type SafetyRowName,
} from '../../contracts/transaction-safety.ts'
import { createDatabase } from '../../support/database.ts'
import { emitFact, inTransaction, pgUnderTest } from './pg-under-test.ts'

let pool: pg.Pool
let other: pg.Pool
let single: pg.Pool
let evidence: SafetyEvidence

beforeAll(async () => {
  const database = await createDatabase()
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

type Emit = AdapterUnderTest<pg.PoolClient>['emit']

/** The statement as the core makes it, without what asks PostgreSQL for the transaction. */
const unguarded =
  (on: (client: pg.PoolClient) => pg.Pool | pg.PoolClient): Emit =>
  (client, emission) =>
    emitWith({ execute: ({ text, values }) => on(client).query(text, [...values]) }, emission, { prefix: 'shop' })

const later: (() => Promise<unknown>)[] = []

/** What an adapter could do wrong, and the rows that notice. */
const broken: Record<
  string,
  { readonly change: () => Partial<AdapterUnderTest<pg.PoolClient>>; readonly rows: readonly SafetyRowName[] }
> = {
  'in a transaction of another connection': {
    change: () => ({
      emit: (_client, emission) => inTransaction(other, (own) => emitFact(own, emission as object as never)),
    }),
    rows: [
      'a committed fact has the transaction id of its row',
      'a thrown error leaves neither row nor fact',
      'a rolled back savepoint leaves neither row nor fact, and the rest is kept',
      'a committed transaction takes no more facts',
      'an aborted transaction takes no fact',
      'parallel transactions keep their own facts',
    ],
  },
  'on the pool': {
    change: () => ({
      emit: unguarded(() => other),
      emitOutside: async (emission) => unguarded(() => other)(undefined as never, emission),
    }),
    rows: [
      'a committed fact has the transaction id of its row',
      'outside a transaction it is refused, and nothing is written',
      'many facts in one call come in order, with their ids',
    ],
  },
  'without asking PostgreSQL for the transaction': {
    change: () => ({ emit: unguarded((client) => client) }),
    rows: ['a committed transaction takes no more facts', 'a rolled back transaction takes no more facts'],
  },
  'after the commit': {
    change: () => ({
      transaction: async (body) => {
        await inTransaction(pool, body)
        for (const emit of later.splice(0)) await emit()
      },
      emit: async (_client, emission) => {
        later.push(() => inTransaction(other, (own) => emitFact(own, emission as object as never)))
        return Array.isArray(emission) ? [] : 'later'
      },
    }),
    rows: [
      'a committed fact has the transaction id of its row',
      'many facts in one call come in order, with their ids',
      'an aborted transaction takes no fact',
    ],
  },
}

describe('the contract notices an adapter that emits', () => {
  for (const [name, { change, rows }] of Object.entries(broken)) {
    describe(name, () => {
      it.each(rows)('%s', async (row) => {
        await provesUnsafe(row, { ...pgUnderTest(name, pool, other), ...change() }, evidence)
      })
    })
  }
})
