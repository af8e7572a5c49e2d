/** Every way in which Sequelize 6 writes rows of a model, and what it emits. */
import { strict as assert } from 'node:assert'
import { DataTypes, Op, type Transaction } from 'sequelize'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { installFactlib } from '../../../adapters/sequelize/index.ts'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { UnseenWriteError } from '../../../src/errors.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { createSlot, type TestSlot } from '../../support/slot.ts'
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

let codes = 0
const code = () => {
  codes += 1
  return `order-${codes}`
}

/** Each way is run without a transaction, in one, in one that is rolled back, with CLS, and in a savepoint. */
interface Way {
  /** The rows that the way works on; their facts do not count. */
  readonly before?: () => Promise<unknown>
  readonly run: (options: { transaction?: Transaction | null; hooks?: boolean }, before: never) => Promise<unknown>
  /** What it emits, in order. */
  readonly emits: readonly string[]
}

const order = () => shop.Order.create({ code: code() })
const orders = () => Promise.all([order(), order()])
const shopper = () => shop.Shopper.create({ name: code() })
const way = <Before>(given: {
  before?: () => Promise<Before>
  run: (options: { transaction?: Transaction | null; hooks?: boolean }, before: Before) => Promise<unknown>
  emits: readonly string[]
}): Way => given as Way
const idsOf = (rows: readonly { id: number }[]) => ({ id: rows.map(({ id }) => id) })

const ways: Record<string, Way> = {
  create: way({ run: (options) => shop.Order.create({ code: code() }, options), emits: ['order.created'] }),
  'create, returning: false': way({
    run: (options) => shop.Order.create({ code: code() }, { ...options, returning: false }),
    emits: ['order.created'],
  }),
  'create, returning some columns': way({
    run: (options) => shop.Order.create({ code: code() }, { ...options, returning: ['id'] }),
    emits: ['order.created'],
  }),
  'build and save': way({
    run: (options) => shop.Order.build({ code: code() }).save(options),
    emits: ['order.created'],
  }),
  'create of an unscoped and a scoped model': way({
    run: async (options) => {
      await shop.Order.unscoped().create({ code: code() }, options)
      await shop.Order.scope('large').create({ code: code() }, options)
    },
    emits: ['order.created', 'order.created'],
  }),
  'create with include': way({
    run: (options) =>
      shop.Shopper.create({ name: code(), orders: [{ code: code() }, { code: code() }] } as never, {
        ...options,
        include: [{ association: 'orders' }],
      }),
    emits: ['shopper.created', 'order.created', 'order.created'],
  }),
  'create with include of a belongsToMany': way({
    run: (options) =>
      shop.Order.create({ code: code(), tags: [{ name: code() }] } as never, {
        ...options,
        include: [{ association: 'tags' }],
      }),
    emits: ['order.created', 'order-tag.created'],
  }),
  'instance update': way({
    before: order,
    run: (options, row) => row.update({ totalCents: 5 }, options),
    emits: ['order.updated'],
  }),
  'set and save': way({
    before: order,
    run: (options, row) => row.set({ totalCents: 5 }).save(options),
    emits: ['order.updated'],
  }),
  'save without a change': way({ before: order, run: (options, row) => row.save(options), emits: [] }),
  'static update': way({
    before: orders,
    run: (options, rows) => shop.Order.update({ totalCents: 6 }, { ...options, where: idsOf(rows) }),
    emits: ['order.updated', 'order.updated'],
  }),
  'static update with individualHooks': way({
    before: orders,
    run: (options, rows) =>
      shop.Order.update({ totalCents: 7 }, { ...options, where: idsOf(rows), individualHooks: true }),
    emits: ['order.updated', 'order.updated'],
  }),
  'static update, returning: true': way({
    before: orders,
    run: async (options, rows) => {
      const [count, updated] = await shop.Order.update(
        { totalCents: 7 },
        { ...options, where: idsOf(rows), returning: true },
      )
      assert.equal(count, 2)
      assert.deepEqual(Object.keys(updated[0]!.dataValues).sort(), [
        'code',
        'deletedAt',
        'id',
        'shopperId',
        'totalCents',
      ])
    },
    emits: ['order.updated', 'order.updated'],
  }),
  'static update of no row': way({
    run: async (options) => {
      const [count] = await shop.Order.update({ totalCents: 7 }, { ...options, where: { id: -1 } })
      assert.equal(count, 0)
    },
    emits: [],
  }),
  'static update counts': way({
    before: orders,
    run: async (options, rows) => {
      const result = await shop.Order.update({ totalCents: 6 }, { ...options, where: idsOf(rows) })
      assert.deepEqual(result, [2])
    },
    emits: ['order.updated', 'order.updated'],
  }),
  'instance increment and decrement': way({
    before: order,
    run: async (options, row) => {
      await row.increment('totalCents', { ...options, by: 3 })
      await row.decrement({ totalCents: 1 }, options)
    },
    emits: ['order.updated', 'order.updated'],
  }),
  'static increment': way({
    before: orders,
    run: (options, rows) => shop.Order.increment({ totalCents: 2 }, { ...options, where: idsOf(rows) }),
    emits: ['order.updated', 'order.updated'],
  }),
  'static increment, returning: false': way({
    before: orders,
    run: (options, rows) =>
      shop.Order.increment({ totalCents: 2 }, { ...options, where: idsOf(rows), returning: false } as never),
    emits: ['order.updated', 'order.updated'],
  }),
  bulkCreate: way({
    run: (options) => shop.Order.bulkCreate([{ code: code() }, { code: code() }], options),
    emits: ['order.created', 'order.created'],
  }),
  'bulkCreate, returning: false': way({
    run: (options) => shop.Order.bulkCreate([{ code: code() }], { ...options, returning: false }),
    emits: ['order.created'],
  }),
  'bulkCreate with individualHooks': way({
    run: (options) =>
      shop.Order.bulkCreate([{ code: code() }, { code: code() }], { ...options, individualHooks: true }),
    emits: ['order.created', 'order.created'],
  }),
  'bulkCreate with include': way({
    run: (options) =>
      shop.Shopper.bulkCreate([{ name: code(), orders: [{ code: code() }] } as never], {
        ...options,
        include: [{ association: 'orders' }],
      }),
    emits: ['shopper.created', 'order.created'],
  }),
  'bulkCreate with ignoreDuplicates': way({
    before: order,
    run: (options, row) =>
      shop.Order.bulkCreate([{ code: row.code }, { code: code() }], { ...options, ignoreDuplicates: true }),
    emits: ['order.created'],
  }),
  'bulkCreate with updateOnDuplicate': way({
    before: order,
    run: (options, row) =>
      shop.Order.bulkCreate([{ code: row.code, totalCents: 4 }, { code: code() }], {
        ...options,
        updateOnDuplicate: ['totalCents'],
        conflictAttributes: ['code'],
      }),
    emits: ['order.updated', 'order.created'],
  }),
  'upsert that creates': way({
    run: (options) => shop.Order.upsert({ code: code(), totalCents: 1 }, options),
    emits: ['order.created'],
  }),
  'upsert that updates': way({
    before: order,
    run: (options, row) => shop.Order.upsert({ code: row.code, totalCents: 8 }, options),
    emits: ['order.updated'],
  }),
  'upsert, returning: false': way({
    before: order,
    run: (options, row) => shop.Order.upsert({ code: row.code, totalCents: 8 }, { ...options, returning: false }),
    emits: ['order.updated'],
  }),
  'findOrCreate that creates': way({
    run: (options) => shop.Order.findOrCreate({ ...options, where: { code: code() } } as never),
    emits: ['order.created'],
  }),
  'findOrCreate that finds': way({
    before: order,
    run: (options, row) => shop.Order.findOrCreate({ ...options, where: { code: row.code } } as never),
    emits: [],
  }),
  findCreateFind: way({
    before: order,
    run: async (options, row) => {
      await shop.Order.findCreateFind({ ...options, where: { code: row.code } } as never)
      await shop.Order.findCreateFind({ ...options, where: { code: code() } } as never)
    },
    emits: ['order.created'],
  }),
  'findOrBuild and save': way({
    run: async (options) => {
      const [row] = await shop.Order.findOrBuild({ ...options, where: { code: code() } } as never)
      await row.save(options)
    },
    emits: ['order.created'],
  }),
  'destroy of a paranoid instance': way({
    before: order,
    run: (options, row) => row.destroy(options),
    emits: ['order.deleted'],
  }),
  'destroy of a paranoid instance that is deleted already': way({
    before: async () => {
      const row = await order()
      const [again] = await shop.Order.findAll({ where: { id: row.id } })
      await row.destroy()
      return again!
    },
    run: (options, row) => row.destroy(options),
    emits: ['order.updated'],
  }),
  'destroy with force': way({
    before: order,
    run: (options, row) => row.destroy({ ...options, force: true }),
    emits: ['order.deleted'],
  }),
  'static destroy of a paranoid model': way({
    before: orders,
    run: async (options, rows) => {
      assert.equal(await shop.Order.destroy({ ...options, where: idsOf(rows) }), 2)
    },
    emits: ['order.deleted', 'order.deleted'],
  }),
  'static destroy with force': way({
    before: orders,
    run: async (options, rows) => {
      assert.equal(await shop.Order.destroy({ ...options, where: idsOf(rows), force: true }), 2)
    },
    emits: ['order.deleted', 'order.deleted'],
  }),
  'static destroy with individualHooks and limit': way({
    before: async () => [await shopper(), await shopper()],
    run: (options, rows) => shop.Shopper.destroy({ ...options, where: idsOf(rows), limit: 1, individualHooks: true }),
    emits: ['shopper.deleted'],
  }),
  'destroy of an instance of another model': way({
    before: shopper,
    run: (options, row) => row.destroy(options),
    emits: ['shopper.deleted'],
  }),
  'restore of an instance': way({
    before: async () => {
      const row = await order()
      await row.destroy()
      return row
    },
    run: (options, row) => row.restore(options),
    emits: ['order.restored'],
  }),
  'static restore, of one that is deleted and one that is not': way({
    before: async () => {
      const rows = await orders()
      await rows[0].destroy()
      return rows
    },
    run: (options, rows) => shop.Order.restore({ ...options, where: idsOf(rows) }),
    emits: ['order.restored', 'order.updated'],
  }),
  'setting deletedAt by hand': way({
    before: order,
    run: async (options, row) => {
      const where = { id: row.id }
      await shop.Order.update({ deletedAt: new Date() }, { ...options, where })
      await shop.Order.update({ deletedAt: null }, { ...options, where, paranoid: false })
    },
    emits: ['order.deleted', 'order.restored'],
  }),
  'hasMany: create, add, remove, set': way({
    before: async () => ({ row: await shopper(), others: await orders() }),
    run: async (options, { row, others }) => {
      const mixed = row as never as Record<string, (...args: unknown[]) => Promise<unknown>>
      await mixed['createOrder']!({ code: code() }, options)
      await mixed['addOrder']!(others[0], options)
      await mixed['removeOrder']!(others[0], options)
      await mixed['setOrders']!([others[1]], options)
    },
    // setOrders lets the created one go, and takes the other.
    emits: ['order.created', 'order.updated', 'order.updated', 'order.updated', 'order.updated'],
  }),
  'belongsTo: set and create': way({
    before: async () => ({ row: await order(), owner: await shopper() }),
    run: async (options, { row, owner }) => {
      const mixed = row as never as Record<string, (...args: unknown[]) => Promise<unknown>>
      await mixed['setShopper']!(owner, options)
      await mixed['createShopper']!({ name: code() }, options)
    },
    emits: ['order.updated', 'shopper.created', 'order.updated'],
  }),
  'belongsToMany: create, add, set, remove': way({
    before: async () => ({ row: await order(), tag: await shop.Tag.create({ name: code() }) }),
    run: async (options, { row, tag }) => {
      const mixed = row as never as Record<string, (...args: unknown[]) => Promise<unknown>>
      await mixed['createTag']!({ name: code() }, options)
      await mixed['addTag']!(tag, options)
      await mixed['setTags']!([tag], options)
      await mixed['removeTag']!(tag, options)
    },
    emits: ['order-tag.created', 'order-tag.created', 'order-tag.deleted', 'order-tag.deleted'],
  }),
}

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
