import { PrismaPg } from '@prisma/adapter-pg'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { factlib } from '../../../adapters/prisma/index.ts'
import { PrismaClient } from '../../../prisma/generated-client/client.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { waitFor } from '../../support/wait.ts'
import { brief, factOf, newId, seen, withModels } from './models-contract.ts'
import { type ModelsShop, openModelsShop } from './models-shop.ts'

/** Dangers of `models` that do not differ between Prisma's versions: each guard has its test. */
let shop: ModelsShop
let prisma: ReturnType<typeof withModels>
const customerId = 'ada'
const order = (id = newId()) => ({ id, customerId })
const facts = async () => brief(await seen(shop))
const count = (id: string) => shop.base.order.count({ where: { id } })

beforeAll(async () => {
  shop = await openModelsShop()
  prisma = withModels(shop.base)
  await shop.base.customer.create({ data: { id: customerId, name: 'Ada' } })
})
afterEach(async () => void (await seen(shop)))

describe('a write that leaves its transaction', () => {
  it('an extension that answers a write itself, elsewhere, makes it fail: no fact of a row that is not in the transaction', async () => {
    const elsewhere = prisma.$extends({
      query: {
        order: { create: ({ args }) => shop.base.order.findFirst({ where: { id: String(args.data.id) } }) as never },
      },
    })
    await expect(elsewhere.order.create({ data: order() })).rejects.toThrow(/answered by another extension/)
    const swallowing = elsewhere.$transaction((tx) => tx.order.create({ data: order() }).catch(() => undefined))
    await expect(swallowing).rejects.toMatchObject({ code: 'FACTLIB_UNSEEN_WRITE' })
    expect(await facts()).toEqual([])
  })

  it('an extension that throws after the write makes the transaction fail, also when that is swallowed', async () => {
    const failing = prisma.$extends({
      query: {
        order: {
          async create({ args, query }) {
            await query(args)
            throw new Error('after the write')
          },
        },
      },
    })
    const data = order()
    const swallowing = failing.$transaction((tx) => tx.order.create({ data }).catch(() => 'swallowed'))
    await expect(swallowing).rejects.toThrow('after the write')
    expect([await count(data.id), await facts()]).toEqual([0, []])
  })

  it('a transaction that has ended is Prisma’s own error', async () => {
    let stale: Parameters<Parameters<typeof prisma.$transaction>[0]>[0] | undefined
    await prisma.$transaction(async (tx) => {
      stale = tx
    })
    const data = order()
    await expect(stale?.order.create({ data })).rejects.toMatchObject({ code: 'P2028' })
    expect([await count(data.id), await facts()]).toEqual([0, []])
  })

  it('an element of another client’s $emitFact is refused in an array, and nothing is run', async () => {
    const other = withModels((await openModelsShop()).base)
    const data = order()
    const element = other.$emitFact(factOf(data, { operation: 'explicit', model: 'order' }))
    const array = prisma.$transaction([prisma.order.create({ data }), element])
    await expect(array).rejects.toMatchObject({ code: 'FACTLIB_NOT_IN_TRANSACTION' })
    expect([await count(data.id), await facts()]).toEqual([0, []])
  })

  it('what is no promise of Prisma’s in an array is Prisma’s own error, and nothing is run', async () => {
    const data = order()
    const array = prisma.$transaction([prisma.order.create({ data }), Promise.resolve(1) as never])
    await expect(array).rejects.toThrow(/need to be Prisma Client promises/)
    expect(await count(data.id)).toBe(0)
    expect(await prisma.$transaction([])).toEqual([])
  })
})

describe('nested transactions', () => {
  it('a mapper that throws in one fails that one only', async () => {
    const throwing = shop.base.$extends(
      factlib({
        prefix: 'shop',
        models: {
          Order: {
            created: (row, change) => {
              if (row.status === 'bad') throw new Error('mapper')
              return factOf(row, change)
            },
          },
        },
      }),
    )
    const [outer, inner] = [order(), { ...order(), status: 'bad' }]
    await throwing.$transaction(async (tx) => {
      await tx.order.create({ data: outer })
      const nested = tx.$transaction((nestedTx) => nestedTx.order.create({ data: inner }).catch(() => undefined))
      await expect(nested).rejects.toThrow('mapper')
    })
    expect([await count(outer.id), await count(inner.id), await facts()]).toEqual([1, 0, [`created ${outer.id}`]])
  })
})

describe('upsert', () => {
  it('of a row that is deleted between the look and the write creates it', async () => {
    let deletions = 0
    const racing = prisma.$extends({
      query: {
        order: {
          async upsert({ args, query }) {
            if (deletions++ === 0) await shop.base.order.delete({ where: { id: String(args.where.id) } })
            return query(args)
          },
        },
      },
    })
    const data = order()
    await shop.base.order.create({ data })
    await racing.order.upsert({ where: { id: data.id }, create: { ...data, status: 'again' }, update: {} })
    expect([await facts(), deletions]).toEqual([[`created ${data.id}`], 2])
  })

  it('of a row that is inserted between them rejects as Prisma’s own in the caller’s transaction, with nothing written', async () => {
    const data = order()
    const racing = prisma.$extends({
      query: {
        order: {
          async upsert({ args, query }) {
            await shop.base.order.create({ data })
            return query(args)
          },
        },
      },
    })
    const upsert = racing.$transaction((tx) =>
      tx.order.upsert({ where: { id: data.id }, create: data, update: { status: 'x' } }),
    )
    await expect(upsert).rejects.toMatchObject({ code: 'P2002' })
    expect(await facts()).toEqual([])
  })
})

describe('what is done', () => {
  const withUpdated = () =>
    shop.base.$extends(
      factlib({ prefix: 'shop', models: { Order: { updated: (row, change) => factOf(row, change) } } }),
    )
  /** Each time that an order's write is tried, as an extension after factlib has it: whether in a transaction. */
  const watched = (client: ReturnType<typeof withUpdated>) => {
    const tries: boolean[] = []
    const extended = client.$extends({
      query: {
        order: {
          $allOperations({ args, query, ...call }) {
            const { __internalParams: params } = call as { __internalParams?: { transaction?: unknown } }
            tries.push(params?.transaction !== undefined)
            return query(args)
          },
        },
      },
    })
    return { tries, order: extended.order }
  }

  it('by an operation without a mapper is Prisma’s own, in no transaction of factlib', async () => {
    const { tries, order: orders } = watched(withUpdated())
    const data = order()
    await orders.create({ data })
    await orders.update({ where: { id: data.id }, data: { status: 'x' } })
    expect(tries).toEqual([false, true])
  })

  it('by an upsert with a mapper for updates alone: its fact', async () => {
    const data = order()
    const upsert = { where: { id: data.id }, create: data, update: { status: 'again' } }
    await withUpdated().order.upsert(upsert)
    await withUpdated().order.upsert(upsert)
    expect(await facts()).toEqual([`updated ${data.id}`])
  })

  it('by a write that is no upsert is tried once, also when its key is there already', async () => {
    const { tries, order: orders } = watched(prisma as never)
    const data = order()
    await shop.base.order.create({ data })
    await expect(orders.create({ data })).rejects.toMatchObject({ code: 'P2002' })
    expect(tries).toHaveLength(1)
  })

  it('by an upsert whose update does not find another row is tried once', async () => {
    const { tries, order: orders } = watched(withUpdated())
    const data = order()
    await shop.base.order.create({ data })
    const update = { customer: { connect: { id: 'nobody' } } }
    const upsert = orders.upsert({ where: { id: data.id }, create: data, update } as never)
    await expect(upsert).rejects.toMatchObject({ code: 'P2025' })
    expect(tries).toHaveLength(1)
  })
})

describe('deleteMany', () => {
  it('on a table that is not the one on the search_path is refused: its rows cannot be locked', async () => {
    const { database } = shop
    await database.query('CREATE SCHEMA other')
    for (const table of ['customers', 'orders']) {
      await database.query(`CREATE TABLE other.${table} (LIKE public.${table} INCLUDING ALL)`)
    }
    const adapter = new PrismaPg({ connectionString: database.url, max: 2 }, { schema: 'other' })
    const base = new PrismaClient({ adapter })
    registerCleanup(() => base.$disconnect())
    const other = withModels(base)
    const data = order()
    await other.order.create({ data })
    const deleting = other.order.deleteMany({ where: { id: data.id } })
    await expect(deleting).rejects.toThrow(/could not lock the rows.*search_path/)
    expect(await base.order.count({ where: { id: data.id } })).toBe(1)
  })
})

it('a call on its own has no time limit, whatever the client’s transactions have', async () => {
  const limited = await openModelsShop(undefined, { transactionOptions: { timeout: 50, maxWait: 2_000 } })
  const client = withModels(limited.base)
  await limited.base.customer.create({ data: { id: customerId, name: 'Ada' } })
  const data = order()
  await limited.base.order.create({ data })
  const other = await limited.database.pool.connect()
  try {
    await other.query('BEGIN')
    await other.query('SELECT 1 FROM orders WHERE id = $1 FOR UPDATE', [data.id])
    const updating = Promise.resolve(client.order.update({ where: { id: data.id }, data: { status: 'x' } }))
    await waitFor(
      async () => {
        const waiting = await limited.database.query(
          `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
           AND query_start < clock_timestamp() - interval '300 ms'`,
        )
        return waiting.length > 0
      },
      { what: 'the update to wait longer than the limit', timeoutMs: 10_000 },
    )
    await other.query('COMMIT')
    expect((await updating).status).toBe('x')
  } finally {
    other.release()
  }
  expect(brief(await seen(limited))).toEqual([`updated ${data.id}`])
})
