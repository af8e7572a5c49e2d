import type { sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { afterAll, beforeAll, it } from 'vitest'
import { drizzleQuery } from '../../../adapters/drizzle/drizzle-like.ts'
import { emitWith } from '../../../src/emitter.ts'
import { describeBrokenAdapters } from '../../contracts/broken-adapters.ts'
import { createSafetyEvidence } from '../../contracts/safety-evidence.ts'
import { type AdapterUnderTest, provesUnsafe, type SafetyEvidence } from '../../contracts/transaction-safety.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { type DriverName, drivers, drizzleUnderTest, type OpenedDrizzle, type Tx } from './drizzle-under-test.ts'

const opened: OpenedDrizzle[] = []
let database: TestDatabase
let evidence: SafetyEvidence

beforeAll(async () => {
  database = await createDatabase()
  evidence = await createSafetyEvidence(database)
})
afterAll(() => Promise.all(opened.map((one) => one.close())))

/** The statement as the core makes it, without what asks PostgreSQL for the transaction. */
const unguarded: AdapterUnderTest<Tx>['emit'] = (tx, emission) => {
  const execute = async (text: string, values: readonly (string | Uint8Array)[]) =>
    (tx as unknown as NodePgDatabase).execute(drizzleQuery(text, values) as ReturnType<typeof sql>)
  return emitWith({ execute: ({ text, values }) => execute(text, values) }, emission as object as never, {
    prefix: 'shop',
  })
}

for (const driver of ['node-postgres, pool', 'postgres-js'] as const satisfies DriverName[]) {
  let adapter: AdapterUnderTest<Tx>
  beforeAll(async () => {
    const both = [
      await drivers[driver]({ url: database.url, maxConnections: 8 }),
      await drivers[driver]({ url: database.url }),
    ] as const
    opened.push(...both)
    adapter = drizzleUnderTest(driver, both[0].db, false, both[1].db)
  })
  describeBrokenAdapters(driver, () => ({ adapter, evidence, database }))

  it.each(['a committed transaction takes no more facts', 'a rolled back transaction takes no more facts'] as const)(
    `${driver}: the contract notices an adapter that does not ask PostgreSQL for the transaction: %s`,
    async (row) => {
      await provesUnsafe(row, { ...adapter, emit: unguarded }, evidence)
    },
  )
}
