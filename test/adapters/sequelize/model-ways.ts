import { strict as assert } from 'node:assert'
import type { Transaction } from 'sequelize'
import type { Shop } from './shop-models.ts'

let codes = 0
export const code = () => {
  codes += 1
  return `order-${codes}`
}

/** Each way is run without a transaction, in one, in one that is rolled back, with CLS, and in a savepoint. */
export interface Way {
  /** The rows that the way works on; their facts do not count. */
  readonly before?: () => Promise<unknown>
  readonly run: (options: { transaction?: Transaction | null; hooks?: boolean }, before: never) => Promise<unknown>
  /** What it emits, in order. */
  readonly emits: readonly string[]
}

const way = <Before>(given: {
  before?: () => Promise<Before>
  run: (options: { transaction?: Transaction | null; hooks?: boolean }, before: Before) => Promise<unknown>
  emits: readonly string[]
}): Way => given as Way
const idsOf = (rows: readonly { id: number }[]) => ({ id: rows.map(({ id }) => id) })

/** Every way to write rows of these models, and what it emits; the shop is asked for when a way is run. */
export function modelWays(openShop: () => Shop): Record<string, Way> {
  const shop = {
    get Order() {
      return openShop().Order
    },
    get Shopper() {
      return openShop().Shopper
    },
    get Tag() {
      return openShop().Tag
    },
  }
  const order = () => shop.Order.create({ code: code() })
  const orders = () => Promise.all([order(), order()])
  const shopper = () => shop.Shopper.create({ name: code() })
  return {
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
}
