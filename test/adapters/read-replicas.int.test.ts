/** Read replicas of each ORM: facts go where the rows go. And several databases and prefixes in one process. */
import { readReplicas } from '@prisma/extension-read-replicas'
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { withReplicas } from 'drizzle-orm/pg-core'
import pg from 'pg'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import * as forDrizzle from '../../adapters/drizzle/index.ts'
import * as forPg from '../../adapters/pg/index.ts'
import { factlib } from '../../adapters/prisma/index.ts'
import * as forSequelize from '../../adapters/sequelize/index.ts'
import { decodeFact } from '../../src/envelope/decode.ts'
import type { FactInput } from '../../src/fact.ts'
import { registerCleanup } from '../support/cleanup.ts'
import { createSlot, type TestSlot } from '../support/slot.ts'
import { inTransaction } from './pg/pg-under-test.ts'
import { createShop, openPrisma, type Shop } from './prisma/prisma-under-test.ts'
import { openSequelize } from './sequelize/sequelize-under-test.ts'

const fact: FactInput = { aggregateType: 'customer', aggregateId: 1, eventType: 'emitted' }
const created = (row: { readonly id?: unknown }): FactInput => ({
  ...fact,
  aggregateId: String(row.id),
  eventType: 'created',
})

/** Two databases that take writes, so that a fact in the wrong one would be seen there. */
let primary: Shop
let replica: Shop
let primarySlot: TestSlot
let replicaSlot: TestSlot

beforeAll(async () => {
  primary = await createShop()
  replica = await createShop()
  primarySlot = await createSlot(primary.database)
  replicaSlot = await createSlot(replica.database)
})
beforeEach(async () => void (await Promise.all([primarySlot.read(), replicaSlot.read()])))

const seenIn = async (slot: TestSlot) =>
  (await slot.read()).map(({ prefix, content }) => `${prefix} ${decodeFact(content).eventType}`)

let ids = 0
const id = () => {
  ids += 1
  return `replicated-${ids}`
}

function poolOf({ database }: Shop): pg.Pool {
  const pool = new pg.Pool({ connectionString: database.url, max: 3 })
  registerCleanup(() => pool.end())
  return pool
}

describe('prisma, @prisma/extension-read-replicas', () => {
  const facts = () => factlib({ prefix: 'shop', models: { Customer: { created } } })
  const replicas = () => readReplicas({ replicas: [openPrisma(replica)] })

  it('before factlib: rows and facts on the primary, reads on the replica', async () => {
    const prisma = openPrisma(primary).$extends(replicas()).$extends(facts())
    await prisma.customer.create({ data: { id: id(), name: 'x' } })
    await prisma.$transaction(async (tx) => {
      await tx.customer.create({ data: { id: id(), name: 'x' } })
      await tx.$emitFact(fact)
    })
    await prisma.$transaction([prisma.customer.create({ data: { id: id(), name: 'x' } }), prisma.$emitFact(fact)])
    expect(await prisma.customer.count()).toBe(0)
    expect(await seenIn(primarySlot)).toEqual([
      'shop created',
      'shop created',
      'shop emitted',
      'shop created',
      'shop emitted',
    ])
    expect(await seenIn(replicaSlot)).toEqual([])
  })

  it('after factlib: the same', async () => {
    const prisma = openPrisma(primary).$extends(facts()).$extends(replicas())
    await prisma.customer.create({ data: { id: id(), name: 'x' } })
    await prisma.$transaction(async (tx) => {
      await tx.customer.create({ data: { id: id(), name: 'x' } })
      await tx.$emitFact(fact)
    })
    expect(await prisma.customer.count()).toBe(0)
    expect(await seenIn(primarySlot)).toEqual(['shop created', 'shop created', 'shop emitted'])
    expect(await seenIn(replicaSlot)).toEqual([])
  })
})

describe('drizzle, withReplicas', () => {
  it('a transaction is on the primary, and so is its fact', async () => {
    const db = withReplicas(drizzle(poolOf(primary)), [drizzle(poolOf(replica))])
    await db.transaction(async (tx) => {
      await tx.execute(`INSERT INTO customers (id, name) VALUES ('${id()}', 'x')`)
      await forDrizzle.emitFact(tx, { ...fact, prefix: 'shop' })
    })
    expect(await seenIn(primarySlot)).toEqual(['shop emitted'])
    expect(await seenIn(replicaSlot)).toEqual([])
    await expect(
      forDrizzle.emitFact(db as never as NodePgDatabase & { rollback(): never }, fact),
    ).rejects.toMatchObject({
      code: 'FACTLIB_NOT_IN_TRANSACTION',
    })
  })
})

describe('sequelize, replication', () => {
  it('rows and facts on the primary, reads on the replica, with models too', async () => {
    const parts = ({ database }: Shop) => {
      const url = new URL(database.url)
      const { hostname: host, port, username, password } = url
      return { host, port, username, password, database: database.name }
    }
    const sequelize = openSequelize(primary.database.url, {
      replication: { write: parts(primary), read: [parts(replica)] },
    })
    registerCleanup(() => sequelize.close())
    const { STRING } = await import('sequelize').then(({ DataTypes }) => DataTypes)
    const Customer = sequelize.define(
      'Customer',
      { id: { type: STRING, primaryKey: true }, name: STRING },
      {
        tableName: 'customers',
        timestamps: false,
      },
    )
    forSequelize.installFactlib<{ Customer: { id: string } }>(sequelize, {
      prefix: 'shop',
      models: { Customer: { created } },
    })
    await Customer.create({ id: id(), name: 'x' })
    await Customer.findOrCreate({ where: { id: id(), name: 'x' } })
    await sequelize.transaction((transaction) =>
      forSequelize.emitFact(sequelize, { ...fact, prefix: 'shop' }, { transaction }),
    )
    expect(await Customer.count()).toBe(0)
    expect(await seenIn(primarySlot)).toEqual(['shop created', 'shop created', 'shop emitted'])
    expect(await seenIn(replicaSlot)).toEqual([])
  })
})

describe('several databases and prefixes in one process', () => {
  it('stay apart, through every adapter at the same time', async () => {
    const emitters = (shop: Shop, prefix: string) => {
      const pool = poolOf(shop)
      const db = drizzle(pool)
      const sequelize = openSequelize(shop.database.url)
      registerCleanup(() => sequelize.close())
      const prisma = openPrisma(shop).$extends(factlib({ prefix, models: { Customer: { created } } }))
      return [
        () => inTransaction(pool, (client) => forPg.createEmitter({ prefix }).emitFact(client, fact)),
        () => db.transaction((tx) => forDrizzle.createEmitter({ prefix }).emitFact(tx, fact)),
        () =>
          sequelize.transaction((transaction) =>
            forSequelize.createEmitter({ prefix }).emitFact(sequelize, fact, { transaction }),
          ),
        () => prisma.$transaction((tx) => tx.$emitFact(fact)),
        () => prisma.customer.create({ data: { id: id(), name: 'x' } }),
      ]
    }
    const all = [...emitters(primary, 'shop'), ...emitters(replica, 'billing')]
    await Promise.all(Array.from({ length: 6 }, () => all.map((emit) => emit())).flat())
    const inPrimary = await seenIn(primarySlot)
    const inReplica = await seenIn(replicaSlot)
    expect(new Set(inPrimary)).toEqual(new Set(['shop emitted', 'shop created']))
    expect(new Set(inReplica)).toEqual(new Set(['billing emitted', 'billing created']))
    expect([inPrimary.length, inReplica.length]).toEqual([30, 30])
  })
})
