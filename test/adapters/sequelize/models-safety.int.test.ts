/** Sequelize's column of the `models` table in docs/transaction-safety.md: each row of MODEL_ROWS, and its outcome. */
import type { Transaction } from 'sequelize'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { NotInTransactionError } from '../../../src/errors.ts'
import { MODEL_ROWS, type ModelRow } from '../../contracts/model-rows.ts'
import { recordSafety, type SafetyOutcome } from '../../contracts/safety-results.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { createSlot, type TestSlot } from '../../support/slot.ts'
import { createShopTables, installOnShop, MapperError, openShop, type Shop } from './shop-models.ts'

let database: TestDatabase
let slot: TestSlot
let shop: Shop
let other: Shop

beforeAll(async () => {
  database = await createDatabase()
  await createShopTables(database)
  slot = await createSlot(database)
  shop = openShop(database.url)
  other = openShop(database.url)
  installOnShop(shop)
})
beforeEach(async () => void (await slot.read()))
afterAll(() => Promise.all([shop.sequelize.close(), other.sequelize.close()]))

let codes = 0
const code = () => {
  codes += 1
  return `safety-${codes}`
}
const types = async () => (await slot.read()).map(({ content }) => decodeFact(content).eventType)
const order = () => shop.Order.create({ code: code() })
const forgotten = async <Row>(made: Promise<Row>): Promise<Row> => {
  const row = await made
  await slot.read()
  return row
}
/** Whether each fact is of the transaction that wrote its row last. */
async function ofTheirRows(expected: readonly string[]): Promise<void> {
  const messages = await slot.read()
  expect(messages.map(({ content }) => decodeFact(content).eventType)).toEqual(expected)
  const last = new Map(messages.map((message) => [decodeFact(message.content).aggregateId, message.xid]))
  for (const [id, xid] of last) {
    const [row] = await database.query<{ xmin: string }>('SELECT xmin::text FROM orders WHERE id = $1', [id])
    if (row !== undefined) expect(Number(row.xmin)).toBe(Number(xid))
  }
}
const exists = async (name: string) =>
  (await database.query('SELECT 1 FROM orders WHERE order_code = $1', [name])).length === 1

const rows: Record<ModelRow, () => Promise<SafetyOutcome>> = {
  'create one': async () => {
    await order()
    await ofTheirRows(['order.created'])
    return 'proved'
  },
  'create many': async () => {
    await shop.Order.bulkCreate([{ code: code() }, { code: code() }])
    await ofTheirRows(['order.created', 'order.created'])
    return 'proved'
  },
  'update one': async () => {
    const row = await forgotten(order())
    await row.update({ totalCents: 1 })
    await ofTheirRows(['order.updated'])
    return 'proved'
  },
  'update many': async () => {
    const made = await forgotten(Promise.all([order(), order()]))
    await shop.Order.update({ totalCents: 2 }, { where: { id: made.map(({ id }) => id) } })
    await ofTheirRows(['order.updated', 'order.updated'])
    return 'proved'
  },
  'increment and decrement': async () => {
    const row = await forgotten(order())
    await row.increment('totalCents')
    await shop.Order.decrement('totalCents', { where: { id: row.id } })
    await ofTheirRows(['order.updated', 'order.updated'])
    return 'proved'
  },
  'upsert: created told from updated': async () => {
    const name = code()
    await shop.Order.upsert({ code: name })
    await shop.Order.upsert({ code: name, totalCents: 2 })
    await ofTheirRows(['order.created', 'order.updated'])
    return 'proved'
  },
  'upserts of one row at the same moment': async () => {
    for (let round = 0; round < 5; round++) {
      const name = code()
      await Promise.all([1, 2, 3].map((totalCents) => shop.Order.upsert({ code: name, totalCents })))
      await ofTheirRows(['order.created', 'order.updated', 'order.updated'])
    }
    return 'proved'
  },
  'delete one': async () => {
    const row = await forgotten(order())
    await row.destroy({ force: true })
    expect(await types()).toEqual(['order.deleted'])
    return 'proved'
  },
  'delete many': async () => {
    const made = await forgotten(Promise.all([order(), order()]))
    await shop.Order.destroy({ where: { id: made.map(({ id }) => id) }, force: true })
    expect(await types()).toEqual(['order.deleted', 'order.deleted'])
    return 'proved'
  },
  'delete many while others write': async () => {
    const shopperId = (await shop.Shopper.create({ name: code() })).id
    const names = Array.from({ length: 12 }, code)
    await forgotten(Promise.all(names.slice(0, 6).map((name) => shop.Order.create({ code: name, shopperId }))))
    await Promise.all([
      shop.Order.destroy({ where: { shopperId }, force: true }),
      ...names.slice(6).map((name) => other.Order.create({ code: name, shopperId })),
    ])
    const gone = 12 - (await database.query('SELECT 1 FROM orders WHERE shopper_id = $1', [shopperId])).length
    expect(await types()).toEqual(Array.from({ length: gone }, () => 'order.deleted'))
    return 'proved'
  },
  'soft delete': async () => {
    const row = await forgotten(order())
    await row.destroy()
    await ofTheirRows(['order.deleted'])
    return 'proved'
  },
  restore: async () => {
    const row = await order()
    await forgotten(row.destroy())
    await row.restore()
    await ofTheirRows(['order.restored'])
    return 'proved'
  },
  'columns hidden from the caller': async () => {
    await shop.Order.create({ code: code(), totalCents: 77 }, { returning: ['id'], fields: ['code', 'totalCents'] })
    const [message] = await slot.read()
    expect(decodeFact(message!.content).json()).toMatchObject({ totalCents: 77, shopperId: null })
    return 'proved'
  },
  "in the caller's transaction": async () => {
    await shop.sequelize.transaction(async (transaction) => {
      const row = await shop.Order.create({ code: code() }, { transaction })
      await row.update({ totalCents: 4 }, { transaction })
    })
    await ofTheirRows(['order.created', 'order.updated'])
    return 'proved'
  },
  'in an array transaction': async () => 'absent',
  'rolled back': async () => {
    const name = code()
    const rolledBack = shop.sequelize.transaction(async (transaction) => {
      await shop.Order.create({ code: name }, { transaction })
      throw new Error('roll back')
    })
    await expect(rolledBack).rejects.toThrow('roll back')
    expect([await exists(name), await types()]).toEqual([false, []])
    return 'proved'
  },
  'a mapper that throws, swallowed by the caller': async () => {
    const name = code()
    const committed = shop.sequelize.transaction(async (transaction) => {
      await shop.Order.create({ code: name, totalCents: 666 }, { transaction }).catch(() => {})
    })
    await expect(committed).rejects.toBeInstanceOf(MapperError)
    expect([await exists(name), await types()]).toEqual([false, []])
    return 'proved'
  },
  'a write that nobody awaits': async () => {
    const name = code()
    let late: Promise<unknown> = Promise.resolve()
    await shop.sequelize.transaction(async (transaction) => {
      late = shop.Order.create({ code: name }, { transaction })
      late.catch(() => {})
    })
    const written = await late.then(
      () => true,
      () => false,
    )
    expect([await exists(name), (await types()).length]).toEqual([written, written ? 1 : 0])
    return 'proved'
  },
  'nested writes through relations': async () => {
    const nested = { name: code(), orders: [{ code: code() }] } as never
    await shop.Shopper.create(nested, { include: [{ association: 'orders' }] })
    expect(await types()).toEqual(['shopper.created', 'order.created'])
    return 'proved'
  },
  // In Sequelize they are rows of a model of their own, which has mappers as every other.
  'links of many-to-many without a model': async () => {
    const row = await order()
    const tag = await forgotten(shop.Tag.create({ name: code() }))
    const { addTag, setTags } = row as never as Record<string, (value: unknown) => Promise<unknown>>
    await addTag!.call(row, tag)
    await setTags!.call(row, [])
    expect(await types()).toEqual(['order-tag.created', 'order-tag.deleted'])
    return 'proved'
  },
  'hooks switched off for one call': async () => {
    const row = await shop.Order.create({ code: code() }, { hooks: false })
    await shop.Order.update({ totalCents: 3 }, { where: { id: row.id }, hooks: false, individualHooks: false })
    await ofTheirRows(['order.created', 'order.updated'])
    return 'proved'
  },
  'something else moves the write out of its transaction': async () => {
    const [name, late] = [code(), code()]
    let ended: Transaction | undefined
    await other.sequelize.transaction(async (transaction) => {
      ended = transaction
      await expect(shop.Order.create({ code: name }, { transaction })).rejects.toBeInstanceOf(NotInTransactionError)
    })
    await expect(shop.Order.create({ code: late }, { transaction: ended! })).rejects.toBeInstanceOf(
      NotInTransactionError,
    )
    expect([await exists(name), await exists(late), await types()]).toEqual([false, false, []])
    return 'refused'
  },
  'raw SQL': async () => {
    const row = await forgotten(order())
    await shop.sequelize.query('UPDATE orders SET total_cents = 3 WHERE id = $1', { bind: [row.id] })
    expect(await types()).toEqual([])
    return 'unseen'
  },
  'cascades in the database': async () => {
    const shopper = await shop.Shopper.create({ name: code() })
    await forgotten(shop.Order.create({ code: code(), shopperId: shopper.id }))
    await shopper.destroy()
    expect(await types()).toEqual(['shopper.deleted'])
    return 'unseen'
  },
}

describe('models of sequelize 6', () => {
  const record = recordSafety({ table: 'models', orm: 'Sequelize', version: '6.37.8' })
  it.each(MODEL_ROWS)('%s', async (row) => {
    record(row, await rows[row]())
  })
})
