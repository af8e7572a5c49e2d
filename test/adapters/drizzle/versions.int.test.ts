/** The newest Drizzle beside the package's own: its release candidate, on both drivers. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describeBrokenAdapters } from '../../contracts/broken-adapters.ts'
import { createSafetyEvidence } from '../../contracts/safety-evidence.ts'
import { describeTransactionSafety, type SafetyEvidence } from '../../contracts/transaction-safety.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { installFixture } from '../../support/fixtures.ts'
import { type Db, drizzleUnderTest } from './drizzle-under-test.ts'

const VERSION = '1.0.0-rc.5'

interface Pool {
  end(): Promise<unknown>
}

let folder: string
let load: NodeJS.Require
let database: TestDatabase
let evidence: SafetyEvidence
const pools: Pool[] = []

beforeAll(async () => {
  folder = await installFixture('drizzle-1')
  load = createRequire(join(folder, 'package.json'))
  database = await createDatabase()
  evidence = await createSafetyEvidence(database)
})
afterAll(() => Promise.all(pools.map((pool) => pool.end())))

/** Its API is that of 0.45 as far as the contract goes; the types of the package's own version stand for it. */
const drivers: Record<string, () => Db> = {
  'node-postgres': () => {
    const pool = new (load('pg') as { Pool: new (options: object) => Pool }).Pool({ connectionString: database.url })
    pools.push(pool)
    return (load('drizzle-orm/node-postgres') as { drizzle: (options: object) => Db }).drizzle({ client: pool })
  },
  'postgres-js': () => {
    const pool = (load('postgres') as (url: string, options: object) => Pool)(database.url, { onnotice: () => {} })
    pools.push(pool)
    return (load('drizzle-orm/postgres-js') as { drizzle: (options: object) => Db }).drizzle({ client: pool })
  },
}

it(`is ${VERSION}`, () => {
  const manifest = readFileSync(join(folder, 'node_modules/drizzle-orm/package.json'), 'utf8')
  expect((JSON.parse(manifest) as { version: string }).version).toBe(VERSION)
})

for (const [driver, open] of Object.entries(drivers)) {
  describe(`drizzle ${VERSION}, ${driver}, broken on purpose`, () => {
    let db: Db
    let other: Db
    beforeAll(() => {
      db = open()
      other = open()
    })
    describeBrokenAdapters(`drizzle ${VERSION}, ${driver}`, () => ({
      adapter: drizzleOfFixture(driver, db, false, other),
      evidence,
      database,
    }))
  })
  for (const guarded of [false, true]) {
    describe(`drizzle ${VERSION}, ${driver}, guarded ${guarded}`, () => {
      let opened: Db
      let other: Db
      beforeAll(() => {
        opened = open()
        other = open()
      })
      describeTransactionSafety(
        driver,
        () => ({ adapter: drizzleOfFixture(driver, opened, guarded, other), evidence }),
        { table: 'transactions', orm: 'Drizzle', version: VERSION, way: `${driver}${guarded ? ', guarded' : ''}` },
      )
    })
  }
}

/** Its own `sql` and table: objects of another version of drizzle-orm are not its own. */
function drizzleOfFixture(name: string, db: Db, guarded: boolean, other: Db): ReturnType<typeof drizzleUnderTest> {
  const { sql } = load('drizzle-orm') as typeof import('drizzle-orm')
  const { pgTable, text } = load('drizzle-orm/pg-core') as typeof import('drizzle-orm/pg-core')
  const customers = pgTable('customers', { id: text().primaryKey() })
  return {
    ...drizzleUnderTest(name, db, guarded, other),
    insertRow: async (tx, id) => void (await tx.insert(customers).values({ id })),
    failStatement: async (tx) => void (await tx.execute(sql`SELECT 1 / 0`)),
    statement: async (tx, statement) => void (await tx.execute(sql.raw(statement))),
  }
}
