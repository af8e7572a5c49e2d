/** Every way in which Sequelize 6 writes rows of a model, and what it emits. */
import { DataTypes, Op } from 'sequelize'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { installFactlib } from '../../../adapters/sequelize/index.ts'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { UnseenWriteError } from '../../../src/errors.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { createSlot, type TestSlot } from '../../support/slot.ts'
import { code, modelWays, type Way } from './model-ways.ts'
import { useCls } from './sequelize-under-test.ts'
import { createShopTables, installOnShop, openShop, type Shop } from './shop-models.ts'

let database: TestDatabase
let slot: TestSlot
let shop: Shop

beforeAll(async () => {
  database = await createDatabase()
  await createShopTables(database)
  slot = await createSlot(database)
  shop = openShop(database.url)
  installOnShop(shop)
})
beforeEach(async () => void (await slot.read()))
afterAll(() => shop.sequelize.close())

interface Seen {
  readonly type: string
  readonly id: string
  readonly row: Record<string, unknown>
  readonly changed: string | undefined
  readonly xid: number
}

async function facts(): Promise<Seen[]> {
  return (await slot.read()).map(({ content, xid }) => {
    const fact = decodeFact(content)
    return {
      type: fact.eventType,
      id: fact.aggregateId,
      row: fact.json() as Record<string, unknown>,
      changed: fact.metadata['changed'],
      xid: Number(xid),
    }
  })
}

const types = async () => (await facts()).map(({ type }) => type)

/** The transaction that inserted the row, or wrote it as it is now; undefined when it is gone. */
async function writerOf(table: string, { id, type }: Seen): Promise<number | undefined> {
  // findOrCreate inserts in a subtransaction, whose id the row then has: its own column knows better.
  const column = type.endsWith('.created') ? 'xact_id' : 'xmin'
  const [row] = await database.query<{ writer: string }>(
    `SELECT ${column}::text AS writer FROM ${table} WHERE id = $1`,
    [id],
  )
  return row && Number(BigInt.asUintN(32, BigInt(row.writer)))
}

const ways = modelWays(() => shop)
const order = () => shop.Order.create({ code: code() })
const shopper = () => shop.Shopper.create({ name: code() })
const titles = Object.keys(ways)
const sorted = (list: readonly string[]) => [...list].sort()

/** Prepares, then forgets what the preparation emitted. */
async function prepare(title: string): Promise<{ way: Way; before: never }> {
  const found = ways[title]!
  const before = (await found.before?.()) as never
  await slot.read()
  return { way: found, before }
}

describe.each([{ hooks: true }, { hooks: false }])('a write without a transaction, %o', (given) => {
  it.each(titles)('%s', async (title) => {
    const { way, before } = await prepare(title)
    await way.run({ ...given }, before)
    const seen = await facts()
    expect(sorted(seen.map(({ type }) => type))).toEqual(sorted(way.emits))
    // The last fact of a row that is still there is of the transaction that wrote the row.
    for (const [table, prefix] of [
      ['orders', 'order.'],
      ['shoppers', 'shopper.'],
    ] as const) {
      const last = new Map(seen.filter(({ type }) => type.startsWith(prefix)).map((fact) => [fact.id, fact]))
      for (const fact of last.values()) {
        const writer = await writerOf(table, fact)
        if (writer !== undefined) expect(writer).toBe(fact.xid)
      }
    }
  })
})

describe('a write in a transaction that commits', () => {
  it.each(titles)('%s', async (title) => {
    const { way, before } = await prepare(title)
    await shop.sequelize.transaction((transaction) => way.run({ transaction }, before))
    const seen = await facts()
    expect(sorted(seen.map(({ type }) => type))).toEqual(sorted(way.emits))
    expect(new Set(seen.map(({ xid }) => xid)).size).toBe(way.emits.length > 0 ? 1 : 0)
  })
})

describe('a write in a transaction that rolls back', () => {
  it.each(titles)('%s', async (title) => {
    const { way, before } = await prepare(title)
    const transaction = await shop.sequelize.transaction()
    await way.run({ transaction }, before)
    await transaction.rollback()
    expect(await facts()).toEqual([])
  })
})

describe('a write in a savepoint that rolls back, in a transaction that commits', () => {
  it.each(titles)('%s', async (title) => {
    const { way, before } = await prepare(title)
    await shop.sequelize.transaction(async (outer) => {
      const transaction = await shop.sequelize.transaction({ transaction: outer })
      await way.run({ transaction }, before)
      await transaction.rollback()
    })
    expect(await facts()).toEqual([])
  })
})

describe('a write in a CLS transaction', () => {
  it.each(titles)('%s', async (title) => {
    const { way, before } = await prepare(title)
    const cls = useCls()
    try {
      const transactions = await shop.sequelize.transaction(() => way.run({}, before)).then(facts)
      expect(sorted(transactions.map(({ type }) => type))).toEqual(sorted(way.emits))
      expect(new Set(transactions.map(({ xid }) => xid)).size).toBe(way.emits.length > 0 ? 1 : 0)
    } finally {
      cls.stop()
    }
  })

  it('with transaction: null it has a transaction of its own', async () => {
    const cls = useCls()
    try {
      const transaction = shop.sequelize.transaction(async () => {
        await shop.Order.create({ code: code() }, { transaction: null })
        throw new Error('roll back')
      })
      await expect(transaction).rejects.toThrow('roll back')
      expect(await types()).toEqual(['order.created'])
    } finally {
      cls.stop()
    }
  })
})

describe('what a mapper is given', () => {
  it('is an instance with what the database has, virtual attributes too', async () => {
    const name = code()
    const row = shop.Order.build({ code: name, totalCents: 250 })
    await row.save({ returning: false })
    const [fact] = await facts()
    expect(fact).toMatchObject({
      row: { code: name, totalCents: 250, deletedAt: null, shopperId: null, euros: 2.5 },
      changed: '-',
    })
    // Without returning Sequelize does not know the id; the fact does.
    expect(row.id).toBeNull()
    expect(fact!.id).toMatch(/^\d+$/)
  })

  it('has the other columns of a row of which one was changed, and the names of what was', async () => {
    const row = await shop.Order.create({ code: code(), totalCents: 1 })
    await shop.Order.increment('totalCents', { where: { id: row.id }, by: 4 })
    await shop.Order.update({ code: `${row.code}-b`, totalCents: 2 }, { where: { id: row.id } })
    await row.update({ totalCents: 3 })
    expect((await facts()).map(({ changed, row: { code, totalCents } }) => [changed, code, totalCents])).toEqual([
      ['-', row.code, 1],
      ['totalCents', row.code, 5],
      ['code,totalCents', `${row.code}-b`, 2],
      ['totalCents', `${row.code}-b`, 3],
    ])
  })

  it('is another instance than the caller’s: what a mapper does to it changes nothing', async () => {
    const row = await shop.Order.create({ code: code() })
    expect(row.changed()).toBe(false)
    expect(Object.keys(row.dataValues).filter((key) => key.startsWith('factlib'))).toEqual([])
  })
})

describe('upsert', () => {
  it('tells created from updated under a race', async () => {
    for (let round = 0; round < 15; round++) {
      const name = code()
      await Promise.all([1, 2, 3, 4].map((totalCents) => shop.Order.upsert({ code: name, totalCents })))
      expect(sorted(await types())).toEqual(['order.created', 'order.updated', 'order.updated', 'order.updated'])
    }
  })

  it('tells them apart when the row is locked by others, and when it was written in the same transaction', async () => {
    const owner = await shopper()
    const row = await shop.Order.create({ code: code() })
    await slot.read()
    const locks = await Promise.all([shop.sequelize.transaction(), shop.sequelize.transaction()])
    for (const transaction of locks)
      await shop.Order.findByPk(row.id, { transaction, lock: transaction.LOCK.KEY_SHARE })
    // Key columns are not set: KEY SHARE does not hold it up.
    const unlocked = { fields: ['totalCents'], conflictFields: ['order_code'] } as never
    await shop.Order.upsert({ code: row.code, totalCents: 2 }, unlocked)
    for (const transaction of locks) await transaction.commit()
    await shop.sequelize.transaction(async (transaction) => {
      const name = code()
      await shop.Order.upsert({ code: name }, { transaction })
      await shop.Order.upsert({ code: name, totalCents: 2 }, { transaction })
      await shop.Order.upsert({ code: name, totalCents: 3, shopperId: owner.id }, { transaction })
    })
    expect(await types()).toEqual(['order.updated', 'order.created', 'order.updated', 'order.updated'])
  })
})

describe('refused, and not seen', () => {
  it('an upsert on a partitioned table, where PostgreSQL cannot tell created from updated: nothing is written', async () => {
    await database.query(
      'CREATE TABLE parted (id integer PRIMARY KEY, name text) PARTITION BY RANGE (id);' +
        'CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (1000)',
    )
    const { sequelize } = shop
    const Parted = sequelize.define(
      'Parted',
      { id: { type: DataTypes.INTEGER, primaryKey: true }, name: DataTypes.TEXT },
      { tableName: 'parted', timestamps: false },
    )
    const on = (row: { id: number }) => ({
      aggregateType: 'parted',
      aggregateId: row.id,
      eventType: 'parted.written',
      payload: row,
    })
    const uninstall = installFactlib<{ Parted: { id: number } }>(sequelize, {
      prefix: 'shop',
      models: { Parted: { on } },
    })
    await Parted.create({ id: 1, name: 'one' })
    await Parted.update({ name: 'two' }, { where: { id: 1 } })
    const outcome = await Parted.upsert({ id: 1, name: 'three' }).then(
      () => 'written',
      () => 'refused',
    )
    uninstall()
    const rows = await database.query('SELECT name FROM parted')
    expect([outcome, rows, await types()]).toEqual(['refused', [{ name: 'two' }], ['parted.written', 'parted.written']])
  })

  it('truncate is refused, nothing is deleted', async () => {
    await order()
    await slot.read()
    await expect(shop.Order.truncate({ force: true } as never)).rejects.toBeInstanceOf(UnseenWriteError)
    await expect(shop.Order.destroy({ truncate: true, force: true })).rejects.toBeInstanceOf(UnseenWriteError)
    expect(await shop.Order.count()).toBeGreaterThan(0)
    expect(await facts()).toEqual([])
    await shop.Tag.destroy({ truncate: true, cascade: true })
  })

  it('raw SQL, the query interface without a model, and ON DELETE CASCADE are not seen', async () => {
    const owner = await shopper()
    await shop.Order.create({ code: code(), shopperId: owner.id })
    await slot.read()
    await shop.sequelize.query(`UPDATE orders SET total_cents = 3`)
    await shop.sequelize.getQueryInterface().bulkInsert('orders', [{ order_code: code() }])
    await shop.sequelize.getQueryInterface().bulkUpdate('shoppers', { visits: 1 }, { id: owner.id })
    expect(await facts()).toEqual([])
    await owner.destroy()
    expect(await types()).toEqual(['shopper.deleted'])
    expect(await shop.Order.count({ where: { shopperId: { [Op.not]: null, [Op.eq]: owner.id } } })).toBe(0)
  })
})
