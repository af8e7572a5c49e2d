import { afterAll, beforeAll } from 'vitest'
import { createSafetyEvidence } from '../../contracts/safety-evidence.ts'
import type { SafetyEvidence } from '../../contracts/transaction-safety.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { describeBrokenDrizzle } from './drizzle-broken.ts'
import { type DriverName, drivers, drizzleUnderTest, type OpenedDrizzle } from './drizzle-under-test.ts'

const opened: OpenedDrizzle[] = []
let database: TestDatabase
let evidence: SafetyEvidence

beforeAll(async () => {
  database = await createDatabase()
  evidence = await createSafetyEvidence(database)
})
afterAll(() => Promise.all(opened.map((one) => one.close())))

for (const driver of ['node-postgres, pool', 'postgres-js'] as const satisfies DriverName[]) {
  let db: OpenedDrizzle['db']
  let other: OpenedDrizzle['db']
  beforeAll(async () => {
    const both = [
      await drivers[driver]({ url: database.url, maxConnections: 8 }),
      await drivers[driver]({ url: database.url }),
    ] as const
    opened.push(...both)
    db = both[0].db
    other = both[1].db
  })
  describeBrokenDrizzle(driver, () => ({ adapter: drizzleUnderTest(driver, db), db, other, evidence }))
}
