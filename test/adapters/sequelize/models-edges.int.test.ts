/** Edges of models on Sequelize 6: each guard that no ordinary write needs has its test here. */
import { DataTypes, type Options, type Transaction } from 'sequelize'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { installFactlib, type SequelizeRow } from '../../../adapters/sequelize/index.ts'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { createSlot, type TestSlot } from '../../support/slot.ts'
import { waitFor } from '../../support/wait.ts'
import { code, modelWays } from './model-ways.ts'
import { createShopTables, installOnShop, MapperError, type Order, openShop, type Shop } from './shop-models.ts'

let database: TestDatabase
let slot: TestSlot
let shop: Shop
/** The same tables without factlib. */
let bare: Shop
const opened: Shop[] = []

function open(options: Options = {}): Shop {
  const one = openShop(database.url, options)
  opened.push(one)
  return one
}

function openInstalled(options: Options = {}): Shop {
  const one = open(options)
  installOnShop(one)
  return one
}

beforeAll(async () => {
  database = await createDatabase()
  await createShopTables(database)
  slot = await createSlot(database)
  shop = openInstalled()
  bare = open()
})
beforeEach(async () => void (await slot.read()))
afterAll(() => Promise.all(opened.map(({ sequelize }) => sequelize.close())))

const facts = async () => (await slot.read()).map(({ content }) => decodeFact(content))
const types = async () => (await facts()).map(({ eventType }) => eventType)
const rowsOf = async (name: string) =>
  (await database.query('SELECT 1 FROM orders WHERE order_code = $1', [name])).length
const whenLocked = () =>
  waitFor(
    async () =>
      (
        await database.query(
          "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
      ).length > 0,
    { what: 'a statement to wait for a lock' },
  )

function signal(): { readonly reached: Promise<void>; readonly reach: () => void } {
  let reach = () => {}
  const reached = new Promise<void>((resolve) => {
    reach = resolve
  })
  return { reached, reach }
}

describe('what the methods return is what they return without factlib', () => {
  /** Names and kinds, not values: ids differ. */
  const shapeOf = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(shapeOf)
    if (typeof value !== 'object' || value === null || value instanceof Date) return typeof value
    const { dataValues = value } = value as { dataValues?: object }
    return Object.fromEntries(
      Object.entries(dataValues)
        .filter(([name]) => name !== 'codes')
        .map(([name, of]) => [name, shapeOf(of)])
        .sort(),
    )
  }

  it.each(Object.keys(modelWays(() => shop)))('%s', async (title) => {
    const shapes: unknown[] = []
    for (const one of [shop, bare]) {
      const { before, run } = modelWays(() => one)[title]!
      const prepared = (await before?.()) as never
      shapes.push(shapeOf([await run({}, prepared), prepared]))
    }
    expect(shapes[0]).toEqual(shapes[1])
  })

  it.each([undefined, false, true] as const)('increment, returning: %s', async (returning) => {
    const outcomes: unknown[] = []
    for (const { Order } of [shop, bare]) {
      const row = await Order.create({ code: code() })
      const given = returning === undefined ? {} : { returning }
      outcomes.push(
        shapeOf([
          await Order.increment('totalCents', { where: { id: row.id }, ...given } as never),
          await row.increment('totalCents', given as never),
          await Order.update({ totalCents: 9 }, { where: { id: row.id }, ...given } as never),
        ]),
      )
    }
    expect(outcomes[0]).toEqual(outcomes[1])
  })
})

describe('one mapper alone', () => {
  const fact = (operation: string) => (order: Order) => ({
    aggregateType: 'order',
    aggregateId: order.id,
    eventType: operation,
  })

  it.each(['created', 'updated', 'deleted', 'restored'] as const)(
    '%s: its changes, and no others',
    async (operation) => {
      const own = open()
      installFactlib<{ Order: Order }>(own.sequelize, {
        prefix: 'shop',
        models: { Order: { [operation]: fact(operation) } },
      })
      const name = code()
      await own.Order.upsert({ code: name })
      await own.Order.upsert({ code: name, totalCents: 2 })
      const row = await own.Order.findOne({ where: { code: name }, rejectOnEmpty: true })
      await row.destroy()
      await row.restore()
      expect(await types()).toEqual([operation])
    },
  )
})

describe('what a write has changed', () => {
  it('is told of a bulkCreate that updates', async () => {
    const row = await shop.Order.create({ code: code() })
    await slot.read()
    await shop.Order.bulkCreate([{ code: row.code, totalCents: 8 }], {
      updateOnDuplicate: ['totalCents'],
      conflictAttributes: ['code'],
    } as never)
    expect((await facts()).map(({ eventType, metadata }) => [eventType, metadata['changed']])).toEqual([
      ['order.updated', 'totalCents'],
    ])
  })

  it('is nothing for findOrCreate whose row somebody else has', async () => {
    const row = await shop.Order.create({ code: code() })
    await slot.read()
    await shop.Order.findOrCreate({ where: { code: row.code, totalCents: 9 } }).catch(() => {})
    expect(await types()).toEqual([])
  })
})

/** Almost as long as PostgreSQL allows: no room for a prefix. */
const LONG = 'c'.repeat(60)

describe('soft deletes', () => {
  it('of one row at the same moment: it is deleted once', async () => {
    const row = await shop.Order.create({ code: code() })
    await slot.read()
    const first = await shop.sequelize.transaction()
    await shop.Order.destroy({ where: { id: row.id }, transaction: first })
    const second = row.destroy()
    await whenLocked()
    await first.commit()
    await second
    expect(await types()).toEqual(['order.deleted', 'order.updated'])
  })

  it('lock the rows that they delete, and no others', async () => {
    const [row, locked] = [await shop.Order.create({ code: code() }), await shop.Order.create({ code: code() })]
    const holder = await shop.sequelize.transaction()
    await shop.Order.findByPk(locked.id, { transaction: holder, lock: true })
    await shop.sequelize.transaction(async (transaction) => {
      await shop.sequelize.query("SET LOCAL lock_timeout = '2s'", { transaction })
      await row.destroy({ transaction })
    })
    await holder.rollback()
    expect(await types()).toContain('order.deleted')
  })

  it('that cannot have the lock fail with that error, whatever the instance tries again', async () => {
    const retrying = openInstalled({ retry: { max: 3, match: [/./] } })
    const row = await retrying.Order.create({ code: code() })
    const holder = await shop.sequelize.transaction()
    await shop.Order.findByPk(row.id, { transaction: holder, lock: true })
    const deleting = retrying.sequelize.transaction(async (transaction) => {
      await retrying.sequelize.query("SET LOCAL lock_timeout = '50ms'", { transaction })
      await row.destroy({ transaction })
    })
    await expect(deleting).rejects.toMatchObject({ original: { code: '55P03' } })
    await holder.rollback()
  })

  it('with a default of its own, a key in a column of another name, and columns of long names', async () => {
    await database.query(
      `CREATE TABLE tickets (ticket_key text PRIMARY KEY, ${LONG}_1 text, ${LONG}_2 text,
        gone timestamptz NOT NULL DEFAULT '1970-01-01 00:00:00+00')`,
    )
    const { sequelize } = open()
    const Ticket = sequelize.define(
      'Ticket',
      {
        key: { type: DataTypes.TEXT, field: 'ticket_key', primaryKey: true },
        first: { type: DataTypes.TEXT, field: `${LONG}_1` },
        second: { type: DataTypes.TEXT, field: `${LONG}_2` },
        gone: { type: DataTypes.DATE, defaultValue: new Date(0) },
      },
      { tableName: 'tickets', paranoid: true, deletedAt: 'gone', createdAt: false, updatedAt: false },
    )
    installFactlib<{ Ticket: SequelizeRow }>(sequelize, {
      prefix: 'shop',
      models: {
        Ticket: {
          on: (row, { operation }) => ({
            aggregateType: 'ticket',
            aggregateId: String(row['key']),
            eventType: `ticket.${operation}`,
            payload: [row['first'], row['second']] as string[],
          }),
        },
      },
    })
    const ticket = await Ticket.create({ key: 't-1', first: '1', second: '2' })
    const set = (gone: Date) => Ticket.update({ gone }, { where: { key: 't-1' }, paranoid: false })
    await ticket.destroy()
    await set(new Date())
    await ticket.restore()
    await set(new Date(0))
    const emitted = await facts()
    for (const fact of emitted) expect(fact.json()).toEqual(['1', '2'])
    expect(emitted.map(({ eventType }) => eventType)).toEqual([
      'ticket.created',
      'ticket.deleted',
      'ticket.updated',
      'ticket.restored',
      'ticket.updated',
    ])
  })
})

describe('logging', () => {
  it('of the call holds for what factlib adds to it', async () => {
    const logged: string[] = []
    const logging = openInstalled({ logging: (text) => logged.push(text) })
    const row = await logging.Order.create({ code: code() }, { logging: false })
    await row.destroy({ logging: false })
    expect(logged.filter((text) => !text.includes('pg_logical_emit_message'))).toEqual([])
  })
})

describe('a fact that cannot be made', () => {
  it('and another one beside it: commit throws the first error', async () => {
    const transaction = await shop.sequelize.transaction()
    const failing = [666, 667].map((totalCents) => shop.Order.create({ code: code(), totalCents }, { transaction }))
    await Promise.allSettled(failing)
    await expect(transaction.commit()).rejects.toBeInstanceOf(MapperError)
  })

  it('on a connection that is lost: commit throws the first error', async () => {
    const transaction = await shop.sequelize.transaction()
    const [{ pid }] = (await shop.sequelize.query('SELECT pg_backend_pid() AS pid', {
      transaction,
      type: 'SELECT',
    })) as unknown as [{ pid: number }]
    await shop.Order.create({ code: code(), totalCents: 666 }, { transaction }).catch(() => {})
    await database.query('SELECT pg_terminate_backend($1)', [pid])
    await expect(transaction.commit()).rejects.toBeInstanceOf(MapperError)
  })

  it('after its transaction was rolled back: nothing is sent into the next one on the connection', async () => {
    const single = openInstalled({ pool: { max: 1 } })
    const [written, released] = [signal(), signal()]
    single.sequelize.addHook('afterQuery', 'hold', async (options: { type?: string }) => {
      if (options.type !== 'INSERT') return
      single.sequelize.removeHook('afterQuery', 'hold')
      written.reach()
      await released.reached
    })
    const outer = await single.sequelize.transaction()
    const nested = await single.sequelize.transaction({ transaction: outer })
    const late = single.Order.create({ code: code(), totalCents: 666 }, { transaction: nested })
    late.catch(() => {})
    await written.reached
    await outer.rollback()
    const name = code()
    await single.sequelize.transaction(async (transaction) => {
      await single.Order.create({ code: name }, { transaction })
      released.reach()
      await expect(late).rejects.toBeInstanceOf(MapperError)
    })
    expect([await rowsOf(name), await types()]).toEqual([1, ['order.created']])
  })
})

describe('writes that nobody awaits', () => {
  it('the commit waits also for one that began while it was waiting', async () => {
    const own = openInstalled()
    const [first, second, third] = [signal(), signal(), signal()]
    const names = { early: code(), late: code() }
    const isLate = (options: { bind?: unknown[] }) => options.bind?.includes(names.late) === true
    own.Order.addHook('beforeCreate', async (row) => {
      if ((row as Order).code === names.late) await second.reached
    })
    own.sequelize.addHook('beforeQuery', (options: { type?: string; bind?: unknown[] }) => {
      if (options.type === 'INSERT') (isLate(options) ? third : first).reach()
    })
    let early: Promise<unknown> = Promise.resolve()
    own.sequelize.addHook('afterQuery', async (options: { type?: string; bind?: unknown[] }) => {
      if (options.type !== 'INSERT') return
      if (isLate(options)) {
        // Until the other write has ended, and a commit that does not wait had the time to be sent.
        await early
        for (let i = 0; i < 3; i++) await database.query('SELECT 1')
      } else {
        // The commit waits for this write by now; the other one begins, and this one ends.
        second.reach()
        await third.reached
      }
    })
    let late: Promise<unknown> = Promise.resolve()
    await own.sequelize.transaction(async (transaction: Transaction) => {
      early = own.Order.create({ code: names.early }, { transaction })
      late = own.Order.create({ code: names.late }, { transaction })
      late.catch(() => {})
      await first.reached
    })
    await late.catch(() => {})
    expect([await rowsOf(names.early), await rowsOf(names.late), (await types()).length]).toEqual([1, 1, 2])
  })
})
