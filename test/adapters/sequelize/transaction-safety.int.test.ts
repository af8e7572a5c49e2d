import type { Sequelize, Transaction } from 'sequelize'
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
import {
  emitFact,
  openSequelize,
  sequelizeUnderTest,
  sequelizeWithClsUnderTest,
  useCls,
} from './sequelize-under-test.ts'

let sequelize: Sequelize
/** The same database through a pool of its own, for the broken adapters. */
let other: Sequelize
let evidence: SafetyEvidence

beforeAll(async () => {
  const database = await createDatabase()
  evidence = await createSafetyEvidence(database)
  sequelize = openSequelize(database.url)
  other = openSequelize(database.url)
})
afterAll(() => Promise.all([sequelize.close(), other.close()]))

const column = (way: string) => ({ table: 'transactions', orm: 'Sequelize', version: '6.37.8', way }) as const

describeTransactionSafety(
  'sequelize 6, transaction option',
  () => ({ adapter: sequelizeUnderTest('sequelize 6', sequelize, other), evidence }),
  column('transaction option'),
)

describe('with CLS', () => {
  let cls: ReturnType<typeof useCls>
  beforeAll(() => {
    cls = useCls()
  })
  afterAll(() => cls.stop())

  describeTransactionSafety(
    'sequelize 6, CLS',
    () => ({ adapter: sequelizeWithClsUnderTest('sequelize 6, CLS', sequelize, other), evidence }),
    column('CLS'),
  )

  describeTransactionSafety('sequelize 6, CLS and the transaction option', () => ({
    adapter: sequelizeUnderTest('sequelize 6, CLS and option', sequelize),
    evidence,
  }))
})

type Emit = AdapterUnderTest<Transaction>['emit']

/** What an adapter could do wrong, and the rows that notice. */
const broken: Record<string, { readonly emit: () => Emit; readonly rows: readonly SafetyRowName[] }> = {
  'another pool': {
    emit: () => (_transaction, emission) => other.transaction((own) => emitFact(other, emission, { transaction: own })),
    rows: [
      'a committed fact has the transaction id of its row',
      'a thrown error leaves neither row nor fact',
      'a caught and rethrown database error leaves neither row nor fact',
      'a rolled back savepoint leaves neither row nor fact, and the rest is kept',
      'a released savepoint keeps row and fact',
      'a released savepoint of a rolled back transaction leaves neither',
      'a committed transaction takes no more facts',
      'a rolled back transaction takes no more facts',
      'an aborted transaction takes no fact',
      'parallel transactions keep their own facts',
    ],
  },
  'no transaction': {
    emit: () => (_transaction, emission) =>
      emitWith({ execute: ({ text, values }) => other.query(text, { bind: [...values] }) }, emission, {
        prefix: 'shop',
      }),
    rows: [
      'a committed fact has the transaction id of its row',
      'a thrown error leaves neither row nor fact',
      'a rolled back savepoint leaves neither row nor fact, and the rest is kept',
      'a committed transaction takes no more facts',
      'an aborted transaction takes no fact',
    ],
  },
  'after the commit': {
    emit: () => async (transaction, emission) => {
      transaction.afterCommit(async () => {
        await other.transaction((own) => emitFact(other, emission, { transaction: own }))
      })
      return Array.isArray(emission) ? [] : 'later'
    },
    rows: [
      'a committed fact has the transaction id of its row',
      'many facts in one call come in order, with their ids',
    ],
  },
}

describe('the contract notices an adapter that emits', () => {
  for (const [name, { emit, rows }] of Object.entries(broken)) {
    describe(`in ${name}`, () => {
      it.each(rows)('%s', async (row) => {
        await provesUnsafe(row, { ...sequelizeUnderTest(name, sequelize), emit: emit() }, evidence)
      })
    })
  }
})
