/** Sequelize 7 (alpha) beside the package's own 6: emission in its transactions; models are for 6 only. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Sequelize, Transaction } from 'sequelize'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkEmission, installFactlib } from '../../../adapters/sequelize/index.ts'
import { describeBrokenAdapters } from '../../contracts/broken-adapters.ts'
import { createSafetyEvidence } from '../../contracts/safety-evidence.ts'
import { describeTransactionSafety, type SafetyEvidence } from '../../contracts/transaction-safety.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { installFixture } from '../../support/fixtures.ts'
import { emitFact, refusedWhileEnding, sequelizeUnderTest } from './sequelize-under-test.ts'

const VERSION = '7.0.0-alpha.48'

let load: NodeJS.Require
let database: TestDatabase
let evidence: SafetyEvidence
const opened: Sequelize[] = []
const instances = { main: undefined as never as Sequelize, other: undefined as never as Sequelize }

/** The API of 7 is that of 6 as far as the contract goes; the types of 6 stand for it. */
interface Core {
  Sequelize: (new (options: object) => Sequelize) & { version: string }
  DataTypes: { TEXT: unknown }
}

function open(options: object = {}): Sequelize {
  const { Sequelize, DataTypes } = load('@sequelize/core') as Core
  const { PostgresDialect } = load('@sequelize/postgres') as { PostgresDialect: unknown }
  const instance = new Sequelize({ dialect: PostgresDialect, url: database.url, logging: false, ...options })
  instance.define(
    'customer',
    { id: { type: DataTypes.TEXT, primaryKey: true } as never },
    { tableName: 'customers', timestamps: false },
  )
  opened.push(instance)
  return instance
}

beforeAll(async () => {
  load = createRequire(join(await installFixture('sequelize-7'), 'package.json'))
  database = await createDatabase()
  evidence = await createSafetyEvidence(database)
  instances.main = open()
  instances.other = open()
})
afterAll(() => Promise.all(opened.map((instance) => instance.close())))

it(`is ${VERSION}`, () => {
  expect((load('@sequelize/core/package.json') as { version: string }).version).toBe(VERSION)
})

const column = (way: string) => ({ table: 'transactions', orm: 'Sequelize', version: VERSION, way }) as const

describeTransactionSafety(
  'sequelize 7, transaction option',
  () => ({ adapter: unmanagedNested(instances.main, instances.other), evidence }),
  column('transaction option'),
)

describeTransactionSafety(
  'sequelize 7, CLS',
  () => {
    const adapter = unmanagedNested(instances.main, instances.other)
    return {
      adapter: {
        ...adapter,
        // Without the option, but for a stale transaction, which CLS has no more.
        emit: (transaction: Transaction, emission) =>
          emitFact(instances.main, emission, isCurrent(instances.main, transaction) ? {} : { transaction }),
      },
      evidence,
    }
  },
  column('CLS'),
)

function isCurrent(instance: Sequelize, transaction: Transaction): boolean {
  const { getCurrentClsTransaction } = instance as unknown as { getCurrentClsTransaction(): unknown }
  return getCurrentClsTransaction.call(instance) === transaction
}

/** With CLS, which 7 has on by default, a nested transaction is a savepoint only when that is said. */
function unmanagedNested(instance: Sequelize, other: Sequelize): ReturnType<typeof sequelizeUnderTest> {
  return {
    ...sequelizeUnderTest('sequelize 7', instance, other),
    savepoint: (transaction, body) => instance.transaction({ transaction, nestMode: 'savepoint' } as never, body),
    otherPoolTransaction: (body) => other.transaction(body),
  }
}

describeBrokenAdapters('sequelize 7', () => ({
  adapter: unmanagedNested(instances.main, instances.other),
  evidence,
  database,
}))

describe('sequelize 7', () => {
  it('has no models: installing them says so', () => {
    expect(() => installFactlib(instances.main, { models: {} })).toThrow(/Sequelize 7 use emitFact/)
  })

  it('refuses the transaction of another instance, without CLS too', async () => {
    const bare = open({ disableClsTransactions: true })
    await instances.main.transaction(async (transaction) => {
      const fact = { aggregateType: 'customer', aggregateId: 1, eventType: 'x' }
      await expect(emitFact(bare, fact, { transaction })).rejects.toMatchObject({ code: 'FACTLIB_NOT_IN_TRANSACTION' })
      await expect(emitFact(bare, fact)).rejects.toMatchObject({ code: 'FACTLIB_NOT_IN_TRANSACTION' })
    })
  })

  it('tells the database’s own refusal from a transaction that is over', async () => {
    const error = await refusedWhileEnding((options) => open({ ...options, disableClsTransactions: true }))
    expect(error).toMatchObject({ code: 'FACTLIB_EMIT_FAILED', message: expect.stringContaining('25P02') })
  })

  it('checkEmission asks it', async () => {
    expect(await checkEmission(instances.main)).toMatchObject({ ok: true })
  })
})
