import type { Sequelize } from 'sequelize'
import { afterAll, beforeAll, describe } from 'vitest'
import { describeBrokenAdapters } from '../../contracts/broken-adapters.ts'
import { createSafetyEvidence } from '../../contracts/safety-evidence.ts'
import { describeTransactionSafety, type SafetyEvidence } from '../../contracts/transaction-safety.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { openSequelize, sequelizeUnderTest, sequelizeWithClsUnderTest, useCls } from './sequelize-under-test.ts'

let database: TestDatabase
let sequelize: Sequelize
/** The same database through a pool of its own. */
let other: Sequelize
let evidence: SafetyEvidence

beforeAll(async () => {
  database = await createDatabase()
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

describeBrokenAdapters('sequelize 6', () => ({
  adapter: sequelizeUnderTest('sequelize 6', sequelize, other),
  evidence,
  database,
}))
