/** What keeps a row from being there without its fact, and installing. */
import { Sequelize, type Transaction } from 'sequelize'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { emitFact, installFactlib } from '../../../adapters/sequelize/index.ts'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { ConfigurationError, InvalidFactError, NotInTransactionError } from '../../../src/errors.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { createSlot, type TestSlot } from '../../support/slot.ts'
import { createShopTables, installOnShop, MapperError, openShop, type Shop } from './shop-models.ts'

let database: TestDatabase
let slot: TestSlot
let shop: Shop
let codes = 0
const opened: Shop[] = []
const code = () => {
  codes += 1
  return `guard-${codes}`
}

function open(options: Parameters<typeof openShop>[1] = {}): Shop {
  const one = openShop(database.url, options)
  opened.push(one)
  return one
}

beforeAll(async () => {
  database = await createDatabase()
  await createShopTables(database)
  slot = await createSlot(database)
  shop = open()
  installOnShop(shop)
})
beforeEach(async () => void (await slot.read()))
afterAll(() => Promise.all(opened.map(({ sequelize }) => sequelize.close())))

const types = async () => (await slot.read()).map(({ content }) => decodeFact(content).eventType)
const rowsOf = async (name: string) =>
  (await database.query('SELECT 1 FROM orders WHERE order_code = $1', [name])).length

/** The mapper throws for the one, and gives a fact that is none for the other. */
describe.each([
  { totalCents: 666, error: MapperError },
  { totalCents: 667, error: InvalidFactError },
])('a fact that cannot be made ($totalCents)', ({ totalCents, error }) => {
  it('fails the write, without a transaction', async () => {
    const name = code()
    await expect(shop.Order.create({ code: name, totalCents })).rejects.toBeInstanceOf(error)
    expect(await rowsOf(name)).toBe(0)
    expect(await types()).toEqual([])
  })

  it('caught in a managed transaction: it cannot commit, and its caller sees the error', async () => {
    const names = [code(), code()] as const
    const transaction = shop.sequelize.transaction(async (current) => {
      await shop.Order.create({ code: names[0] }, { transaction: current })
      await shop.Order.create({ code: names[1], totalCents }, { transaction: current }).catch(() => {})
    })
    await expect(transaction).rejects.toBeInstanceOf(error)
    expect([await rowsOf(names[0]), await rowsOf(names[1])]).toEqual([0, 0])
    expect(await types()).toEqual([])
  })

  it('caught in an unmanaged transaction: commit throws it, and lets the connection go', async () => {
    const single = open({ pool: { max: 1 } })
    installOnShop(single)
    const transaction = await single.sequelize.transaction()
    const name = code()
    await expect(single.Order.create({ code: name, totalCents }, { transaction })).rejects.toBeInstanceOf(error)
    await expect(transaction.commit()).rejects.toBeInstanceOf(error)
    expect(await rowsOf(name)).toBe(0)
    await single.Order.create({ code: code() })
    expect(await types()).toEqual(['order.created'])
  })

  it('caught, and COMMIT sent as raw SQL: PostgreSQL rolls back', async () => {
    const transaction = await shop.sequelize.transaction()
    const name = code()
    await shop.Order.create({ code: name, totalCents }, { transaction }).catch(() => {})
    await shop.sequelize.query('COMMIT', { transaction })
    await transaction.rollback().catch(() => {})
    expect(await rowsOf(name)).toBe(0)
    expect(await types()).toEqual([])
  })

  it('caught inside a savepoint that is rolled back: the rest commits', async () => {
    const [kept, lost] = [code(), code()]
    await shop.sequelize.transaction(async (outer) => {
      const nested = shop.sequelize.transaction({ transaction: outer }, (transaction) =>
        shop.Order.create({ code: lost, totalCents }, { transaction }),
      )
      await expect(nested).rejects.toBeInstanceOf(error)
      await shop.Order.create({ code: kept }, { transaction: outer })
    })
    expect([await rowsOf(kept), await rowsOf(lost)]).toEqual([1, 0])
    expect(await types()).toEqual(['order.created'])
  })

  it('caught inside a savepoint that is kept: neither it nor the transaction commits', async () => {
    const name = code()
    const transaction = shop.sequelize.transaction(async (outer) => {
      const nested = await shop.sequelize.transaction({ transaction: outer })
      await shop.Order.create({ code: name, totalCents }, { transaction: nested }).catch(() => {})
    })
    await expect(transaction).rejects.toBeInstanceOf(error)
    expect(await rowsOf(name)).toBe(0)
    const other = shop.sequelize.transaction((outer) =>
      shop.sequelize.transaction({ transaction: outer }, async (nested) => {
        await shop.Order.create({ code: name, totalCents }, { transaction: nested }).catch(() => {})
      }),
    )
    await expect(other).rejects.toBeInstanceOf(error)
    expect(await rowsOf(name)).toBe(0)
    expect(await types()).toEqual([])
  })

  it('in findOrCreate, which commits its own transaction whatever happens', async () => {
    const name = code()
    const created = shop.Order.findOrCreate({ where: { code: name, totalCents } })
    await expect(created).rejects.toBeInstanceOf(error)
    expect(await rowsOf(name)).toBe(0)
    expect(await types()).toEqual([])
  })

  it('for one row of many: none is written', async () => {
    const names = [code(), code()]
    await expect(shop.Order.bulkCreate([{ code: names[0]! }, { code: names[1]!, totalCents }])).rejects.toBeInstanceOf(
      error,
    )
    expect([await rowsOf(names[0]!), await rowsOf(names[1]!)]).toEqual([0, 0])
    expect(await types()).toEqual([])
  })
})

describe('an error beside the fact', () => {
  it('a hook that throws after the row was written, caught and committed: row and fact', async () => {
    const hooked = open()
    installOnShop(hooked)
    hooked.Order.addHook('afterCreate', () => {
      throw new Error('the hook')
    })
    const [name, other, third] = [code(), code(), code()]
    await hooked.sequelize.transaction(async (transaction) => {
      await expect(hooked.Order.create({ code: name }, { transaction })).rejects.toThrow('the hook')
    })
    await expect(hooked.Order.create({ code: other })).rejects.toThrow('the hook')
    await expect(hooked.Order.findOrCreate({ where: { code: third } })).rejects.toThrow('the hook')
    expect([await rowsOf(name), await rowsOf(other), await rowsOf(third)]).toEqual([1, 1, 1])
    expect(await types()).toEqual(['order.created', 'order.created', 'order.created'])
  })

  it('an afterQuery hook that throws: row and fact', async () => {
    const hooked = open()
    installOnShop(hooked)
    hooked.sequelize.addHook('afterQuery', 'fail', (options: { type?: string }) => {
      if (options.type === 'INSERT') throw new Error('the hook')
    })
    const name = code()
    await hooked.sequelize.transaction(async (transaction) => {
      await expect(hooked.Order.create({ code: name }, { transaction })).rejects.toThrow('the hook')
    })
    expect(await rowsOf(name)).toBe(1)
    expect(await types()).toEqual(['order.created'])
  })

  it('a constraint of the database: neither, with Sequelize’s own error', async () => {
    await expect(shop.Order.create({ code: code(), totalCents: 13 })).rejects.toMatchObject({
      name: 'SequelizeDatabaseError',
    })
    const name = code()
    await shop.Order.create({ code: name })
    await expect(shop.Order.create({ code: name })).rejects.toMatchObject({ name: 'SequelizeUniqueConstraintError' })
    expect(await types()).toEqual(['order.created'])
  })
})

describe('a forgotten await', () => {
  it('the commit waits for the write and its fact', async () => {
    const name = code()
    let sent = () => {}
    const whenSent = new Promise<void>((resolve) => {
      sent = resolve
    })
    const hooked = open()
    installOnShop(hooked)
    hooked.sequelize.addHook('beforeQuery', (options: { type?: string }) => {
      if (options.type === 'INSERT') sent()
    })
    await hooked.sequelize.transaction(async (transaction) => {
      void hooked.Order.create({ code: name }, { transaction })
      await whenSent
    })
    expect(await rowsOf(name)).toBe(1)
    expect(await types()).toEqual(['order.created'])
  })
})

describe('the transaction', () => {
  it('of another instance is refused, and nothing is written', async () => {
    const other = open()
    const name = code()
    await other.sequelize.transaction(async (transaction) => {
      await expect(shop.Order.create({ code: name }, { transaction })).rejects.toBeInstanceOf(NotInTransactionError)
    })
    expect(await rowsOf(name)).toBe(0)
  })

  it('that is over is refused, and nothing is written', async () => {
    const name = code()
    let stale: Transaction | undefined
    await shop.sequelize.transaction(async (transaction) => {
      stale = transaction
    })
    await expect(shop.Order.create({ code: name }, { transaction: stale! })).rejects.toBeInstanceOf(
      NotInTransactionError,
    )
    expect(await rowsOf(name)).toBe(0)
  })

  it('is one connection: a pool of one is enough, in parallel too', async () => {
    const single = open({ pool: { max: 1 } })
    installOnShop(single)
    await Promise.all(Array.from({ length: 5 }, () => single.Order.create({ code: code() })))
    await single.sequelize.transaction((transaction) =>
      Promise.all(Array.from({ length: 5 }, () => single.Order.create({ code: code() }, { transaction }))),
    )
    expect(await types()).toHaveLength(10)
  })

  it('goes to the primary, where reads go to a replica', async () => {
    const url = new URL(database.url)
    const host = { host: url.hostname, port: url.port, username: url.username, password: url.password }
    const replicated = open({
      // Nobody listens there: a statement that went to the replica would fail.
      replication: { write: { ...host, database: database.name }, read: [{ ...host, port: '1', database: 'none' }] },
    })
    installOnShop(replicated)
    const row = await replicated.Order.create({ code: code() })
    await row.destroy()
    expect(await types()).toEqual(['order.created', 'order.deleted'])
  })
})

describe('installing', () => {
  const created = (order: { id: number }) => ({ aggregateType: 'order', aggregateId: order.id, eventType: 'made' })

  it('names every problem: a setting, a model that is not there, one that has mappers already', () => {
    const again = () =>
      installFactlib<{ Order: { id: number }; Oder: { id: number } }>(shop.sequelize, {
        prefix: 'a b',
        models: { Order: { created }, Oder: { created } },
      })
    expect(again).toThrow(ConfigurationError)
    try {
      again()
    } catch (error) {
      expect((error as ConfigurationError).problems).toEqual([
        expect.stringContaining('prefix'),
        expect.stringContaining('models.Order has mappers already'),
        expect.stringContaining('models.Oder: this instance has no such model'),
      ])
    }
  })

  it('refuses what is not Sequelize 6 on PostgreSQL', () => {
    expect(() => installFactlib({ query: async () => {}, transaction: async () => {} }, { models: {} })).toThrow(
      /Sequelize 6/,
    )
    const mysql = Object.create(Sequelize.prototype, { options: { value: { dialect: 'mysql' } } })
    expect(() => installFactlib(mysql, { models: {} })).toThrow(/needs? PostgreSQL/)
  })

  it('again for other models, off in any order, and then nothing is left of it', async () => {
    const own = open()
    const untouched = Object.keys(own.sequelize.getQueryInterface())
    const first = installFactlib<{ Order: { id: number } }>(own.sequelize, {
      prefix: 'one',
      models: { Order: { created } },
    })
    const second = installFactlib<{ Shopper: { id: number } }>(own.sequelize, {
      prefix: 'two',
      models: { Shopper: { created } },
    })
    const write = async () => {
      await own.Order.create({ code: code() })
      await own.Shopper.create({ name: code() })
      return (await slot.read()).map(({ prefix }) => prefix)
    }
    expect(await write()).toEqual(['one', 'two'])
    first()
    first()
    expect(await write()).toEqual(['two'])
    second()
    expect(await write()).toEqual([])
    expect(Object.keys(own.sequelize.getQueryInterface())).toEqual(untouched)
    expect(Object.getOwnPropertyNames(own.sequelize.getQueryInterface())).toEqual(untouched)
    installFactlib<{ Order: { id: number } }>(own.sequelize, { prefix: 'three', models: { Order: { created } } })
    expect(await write()).toEqual(['three'])
  })

  it('leaves operations without a mapper as they are', async () => {
    const own = open()
    installFactlib<{ Order: { id: number } }>(own.sequelize, { prefix: 'shop', models: { Order: { created } } })
    const row = await own.Order.create({ code: code() })
    await row.update({ totalCents: 666 })
    await row.destroy()
    await own.Order.truncate({ cascade: true })
    expect(await types()).toEqual(['made'])
  })

  it('goes with emitFact in the same transaction, in order', async () => {
    await shop.sequelize.transaction(async (transaction) => {
      const row = await shop.Order.create({ code: code() }, { transaction })
      const paid = { prefix: 'shop', aggregateType: 'order', aggregateId: row.id, eventType: 'order.paid' }
      await emitFact(shop.sequelize, paid, { transaction })
      await row.update({ totalCents: 1 }, { transaction })
    })
    expect(await types()).toEqual(['order.created', 'order.paid', 'order.updated'])
  })
})
