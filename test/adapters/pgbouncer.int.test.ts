/** Every adapter through PgBouncer in transaction mode: the connection of a client changes after each transaction. */
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { factlib } from '../../adapters/prisma/index.ts'
import { installFactlib } from '../../adapters/sequelize/index.ts'
import { decodeFact } from '../../src/envelope/decode.ts'
import { createSafetyEvidence } from '../contracts/safety-evidence.ts'
import { describeTransactionSafety, type SafetyEvidence } from '../contracts/transaction-safety.ts'
import { registerCleanup } from '../support/cleanup.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { type PgBouncer, startPgBouncer } from '../support/services/pgbouncer.ts'
import { createSlot, type TestSlot } from '../support/slot.ts'
import { drivers, drizzleUnderTest, type OpenedDrizzle } from './drizzle/drizzle-under-test.ts'
import { pgUnderTest } from './pg/pg-under-test.ts'
import { createShop, extensionUnderTest, openFactlib, openPrisma, type Shop } from './prisma/prisma-under-test.ts'
import { openSequelize, sequelizeUnderTest } from './sequelize/sequelize-under-test.ts'

let database: TestDatabase
let evidence: SafetyEvidence
let shop: Shop
let slot: TestSlot
let bouncer: PgBouncer
let url: string
let through: Shop
const closing: (() => Promise<unknown>)[] = []
const closed = <Opened>(opened: Opened, close: () => Promise<unknown>): Opened => {
  closing.push(close)
  return opened
}

beforeAll(async () => {
  database = await createDatabase()
  evidence = await createSafetyEvidence(database)
  slot = await createSlot(database)
  shop = await createShop()
  bouncer = await startPgBouncer({ postgresUrl: inject('postgresUrl') })
  registerCleanup(() => bouncer.remove())
  url = bouncer.urlOf(database.name)
  through = { ...shop, database: { ...shop.database, url: `${bouncer.urlOf(shop.database.name)}?pgbouncer=true` } }
})
afterAll(() => Promise.all(closing.map((close) => close())))

it('passes the connections around: two transactions of one client run on several', async () => {
  const clients = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const client = new pg.Client({ connectionString: url })
      await client.connect()
      return client
    }),
  )
  const pids = await Promise.all(
    clients.map(async (client) => (await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid as number),
  )
  await Promise.all(clients.map((client) => client.end()))
  expect(new Set(pids).size).toBeLessThanOrEqual(3)
})

describe('pg', () => {
  let pool: pg.Pool
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: url, max: 8 })
    closed(pool, () => pool.end())
  })
  describeTransactionSafety('pg, PgBouncer', () => ({ adapter: pgUnderTest('pg', pool, pool), evidence }))
})

describe.each(['node-postgres, pool', 'postgres-js, prepare: false'] as const)('drizzle, %s', (driver) => {
  let opened: OpenedDrizzle
  beforeAll(async () => {
    opened = await drivers[driver]({ url, maxConnections: 8 })
    closed(opened, () => opened.close())
  })
  describeTransactionSafety(`drizzle, ${driver}, PgBouncer`, () => ({
    adapter: drizzleUnderTest(driver, opened.db),
    evidence,
  }))
})

describe('sequelize', () => {
  let sequelize: ReturnType<typeof openSequelize>
  beforeAll(() => {
    sequelize = openSequelize(url)
    closed(sequelize, () => sequelize.close())
  })
  describeTransactionSafety('sequelize, PgBouncer', () => ({
    adapter: sequelizeUnderTest('sequelize', sequelize),
    evidence,
  }))
})

describe('prisma', () => {
  describeTransactionSafety('prisma, PgBouncer', () => ({
    adapter: extensionUnderTest('prisma', openFactlib(through), openFactlib(through)),
    evidence: shop.evidence,
  }))
})

describe('models', () => {
  beforeEach(async () => void (await Promise.all([slot.read(), shop.evidence.messages()])))
  const typesOf = (messages: readonly { readonly content: Uint8Array }[]) =>
    messages.map(({ content }) => decodeFact(content).eventType)
  const created = (row: { id: unknown }) => ({
    aggregateType: 'customer',
    aggregateId: String(row.id),
    eventType: 'customer.created',
  })

  it('of sequelize, one by one and many at once', async () => {
    const sequelize = openSequelize(url)
    closed(sequelize, () => sequelize.close())
    installFactlib<{ customer: { id: string } }>(sequelize, { prefix: 'shop', models: { customer: { created } } })
    await Promise.all(
      Array.from({ length: 12 }, (_, index) => sequelize.model('customer').create({ id: `s-${index}` })),
    )
    expect(typesOf(await slot.read())).toHaveLength(12)
  })

  it('of prisma, one by one and many at once', async () => {
    const prisma = openPrisma(through).$extends(factlib({ prefix: 'shop', models: { Customer: { created } } }))
    await Promise.all(
      Array.from({ length: 12 }, (_, index) => prisma.customer.create({ data: { id: `p-${index}`, name: 'x' } })),
    )
    expect(typesOf(await shop.evidence.messages())).toHaveLength(12)
  })
})
