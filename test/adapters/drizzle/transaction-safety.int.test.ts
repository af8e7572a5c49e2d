import { afterAll, beforeAll, describe } from 'vitest'
import { createSafetyEvidence } from '../../contracts/safety-evidence.ts'
import { describeTransactionSafety, type SafetyEvidence } from '../../contracts/transaction-safety.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { type DriverName, drivers, drizzleUnderTest, type OpenedDrizzle } from './drizzle-under-test.ts'

let database: TestDatabase
let evidence: SafetyEvidence

beforeAll(async () => {
  database = await createDatabase()
  evidence = await createSafetyEvidence(database)
})

for (const driver of Object.keys(drivers) as DriverName[]) {
  for (const guarded of [false, true]) {
    const name = `drizzle, ${driver}${guarded ? ', guarded' : ''}`
    describe(name, () => {
      let opened: OpenedDrizzle
      let other: OpenedDrizzle

      beforeAll(async () => {
        opened = await drivers[driver]({ url: database.url })
        other = await drivers[driver]({ url: database.url })
      })
      afterAll(() => Promise.all([opened.close(), other.close()]))

      describeTransactionSafety(
        name,
        () => ({ adapter: drizzleUnderTest(name, opened.db, guarded, other.db), evidence }),
        { table: 'transactions', orm: 'Drizzle', version: '0.45.4', way: `${driver}${guarded ? ', guarded' : ''}` },
      )
    })
  }
}
