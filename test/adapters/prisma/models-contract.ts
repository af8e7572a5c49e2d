import { beforeAll, describe, expect, it } from 'vitest'
import { factlib } from '../../../adapters/prisma/index.ts'
import type { PrismaClient } from '../../../prisma/generated-client/client.ts'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { UnseenWriteError } from '../../../src/errors.ts'
import type { FactInput } from '../../../src/fact.ts'
import type { ModelRow } from '../../contracts/model-rows.ts'
import { recordSafety, type SafetyOutcome } from '../../contracts/safety-results.ts'
import { describeModelsEdges } from './models-edges.ts'
import type { ModelsShop } from './models-shop.ts'

/** A fact of the slot, as the tests look at it. */
export interface SeenFact {
  readonly type: string
  readonly id: string
  readonly xid: bigint
  readonly row: Record<string, unknown>
  readonly changed: readonly string[] | undefined
}

type Row = Readonly<Record<string, unknown>>
type Change = {
  readonly operation: string
  readonly model: string
  readonly changedFields?: readonly string[] | undefined
}

/** The fact of any row: all that a mapper is told. */
export function factOf(row: Row, { operation, model, changedFields }: Change): FactInput {
  const id = (row['id'] ?? row['name'] ?? `${row['warehouse']}-${row['sku']}`) as string
  const payload = JSON.parse(JSON.stringify({ row, changed: changedFields ?? null }))
  return { aggregateType: model.toLowerCase(), aggregateId: id, eventType: operation, payload }
}

export const ALL_MODELS = {
  Order: { created: factOf, updated: factOf, deleted: factOf },
  Stock: { on: factOf },
  Tag: { on: factOf },
} as const

export function withModels(base: PrismaClient) {
  return base.$extends(factlib({ prefix: 'shop', models: ALL_MODELS }))
}

function withThrowing(base: PrismaClient) {
  const on = () => {
    throw new Error('mapper')
  }
  return base.$extends(factlib({ prefix: 'shop', models: { Order: { on } } }))
}

/** The slot's facts since the last call. */
export async function seen({ evidence }: ModelsShop): Promise<SeenFact[]> {
  return (await evidence.messages()).map(({ content, xid }) => {
    const fact = decodeFact(content)
    const { row, changed } = fact.json<{ row: Record<string, unknown>; changed: string[] | null }>()
    return { type: fact.eventType, id: fact.aggregateId, xid: BigInt(xid), row, changed: changed ?? undefined }
  })
}

export const brief = (facts: readonly SeenFact[]) => facts.map(({ type, id }) => `${type} ${id}`)

let lastId = 0
export const newId = () => `m-${++lastId}`

/** What every supported version of Prisma has to do with `models`. */
export function describeModels(version: string, open: (options?: object) => Promise<ModelsShop>): void {
  describe(`Prisma ${version}`, () => {
    const record = recordSafety({ table: 'models', orm: 'Prisma', version }) as (
      row: ModelRow,
      to: SafetyOutcome,
    ) => void
    describeWrites(version, open, (...rows) => rows.forEach((row) => void record(row, 'proved')), record)
    describeModelsEdges(version, open, record)
    it('switches no hooks off', () => record('hooks switched off for one call', 'absent'))
  })
}

function describeWrites(
  version: string,
  open: () => Promise<ModelsShop>,
  proved: (...rows: ModelRow[]) => void,
  record: (row: ModelRow, outcome: SafetyOutcome) => void,
): void {
  describe(`models: ${version}`, () => {
    let shop: ModelsShop
    let prisma: ReturnType<typeof withModels>
    let throwing: ReturnType<typeof withThrowing>
    const customerId = 'ada'

    beforeAll(async () => {
      shop = await open()
      prisma = withModels(shop.base)
      throwing = withThrowing(shop.base)
      await shop.base.customer.create({ data: { id: customerId, name: 'Ada' } })
    })

    const order = (id = newId()) => ({ id, customerId })
    const facts = () => seen(shop)
    /** The transaction that wrote the row's current version. */
    const writer = async (id: string) => {
      const [row] = await shop.database.query<{ xmin: string }>('SELECT xmin::text FROM orders WHERE id = $1', [id])
      return row && BigInt(row.xmin)
    }
    const expectNoRow = async (id: string) => {
      expect(await writer(id)).toBeUndefined()
      expect(await facts()).toEqual([])
    }

    it('a create on its own writes row and fact in one transaction; the result is Prisma’s own', async () => {
      const data = order()
      const created = await prisma.order.create({ data })
      expect(created).toEqual(await shop.base.order.findUnique({ where: { id: data.id } }))
      const [fact, ...more] = await facts()
      expect(more).toEqual([])
      expect(fact).toMatchObject({ type: 'created', id: data.id, row: JSON.parse(JSON.stringify(created)) })
      expect(fact?.xid).toBe(await writer(data.id))
      proved('create one')
    })

    it('writes of an interactive transaction: its own, in order, also gone with it', async () => {
      const [first, second, lost] = [order(), order(), order()]
      await prisma.$transaction(async (tx) => {
        await tx.order.create({ data: first })
        await tx.order.update({ where: { id: first.id }, data: { status: 'paid' } })
        await tx.$emitFact({ ...factOf({ id: first.id }, { operation: 'explicit', model: 'order' }) })
        await tx.order.create({ data: second })
        await tx.order.delete({ where: { id: second.id } })
      })
      const found = await facts()
      expect(brief(found)).toEqual(
        [`created ${first.id}`, `updated ${first.id}`, `explicit ${first.id}`, `created ${second.id}`].concat(
          `deleted ${second.id}`,
        ),
      )
      expect(new Set(found.map(({ xid }) => xid))).toEqual(new Set([await writer(first.id)]))
      expect(found[1]).toMatchObject({ changed: ['status'], row: { status: 'paid' } })
      const body = prisma.$transaction(async (tx) => {
        await tx.order.create({ data: lost })
        throw new Error('roll back')
      })
      await expect(body).rejects.toThrow('roll back')
      await expectNoRow(lost.id)
      proved('update one', 'delete one', "in the caller's transaction", 'rolled back')
    })

    it('writes of an array transaction: in its order, one transaction, gone with it', async () => {
      const [first, second, lost] = [order(), order(), order()]
      const results = await prisma.$transaction([
        prisma.order.create({ data: first }),
        prisma.$emitFact(factOf({ id: first.id }, { operation: 'explicit', model: 'order' })),
        prisma.order.updateMany({ where: { id: first.id }, data: { status: 'paid' } }),
        prisma.customer.count({ where: { id: customerId } }),
        prisma.order.create({ data: second, select: { status: true } }),
        prisma.$queryRaw`SELECT count(*)::int AS count FROM orders WHERE id = ${second.id}`,
      ])
      expect(results).toMatchObject([
        { id: first.id },
        expect.any(String),
        { count: 1 },
        1,
        { status: 'new' },
        [{ count: 1 }],
      ])
      const found = await facts()
      expect(brief(found)).toEqual([
        `created ${first.id}`,
        `explicit ${first.id}`,
        `updated ${first.id}`,
        `created ${second.id}`,
      ])
      expect(new Set(found.map(({ xid }) => xid))).toEqual(new Set([await writer(second.id)]))
      const array = prisma.$transaction([prisma.order.create({ data: lost }), prisma.order.create({ data: first })])
      await expect(array).rejects.toMatchObject({ code: 'P2002' })
      await expectNoRow(lost.id)
      proved('in an array transaction')
    })

    it('createMany and createManyAndReturn: a fact for each row that was written', async () => {
      const [first, second, third] = [order(), order(), order()]
      expect(await prisma.order.createMany({ data: [first, second] })).toEqual({ count: 2 })
      expect(brief(await facts())).toEqual([`created ${first.id}`, `created ${second.id}`])
      expect(await prisma.order.createMany({ data: [second, third], skipDuplicates: true })).toEqual({ count: 1 })
      expect(brief(await facts())).toEqual([`created ${third.id}`])
      const [fourth, fifth] = [order(), order()]
      const returned = await prisma.order.createManyAndReturn({ data: [fourth, fifth], select: { status: true } })
      expect(JSON.stringify(returned)).toBe('[{"status":"new"},{"status":"new"}]')
      const found = await facts()
      expect(brief(found)).toEqual([`created ${fourth.id}`, `created ${fifth.id}`])
      expect(found[0]?.row).toMatchObject({ customerId, status: 'new', totalCents: 0 })
      proved('create many')
    })

    it('updateMany and updateManyAndReturn: a fact for each row that was changed', async () => {
      const [first, second, other] = [order(), order(), order()]
      await shop.base.order.createMany({ data: [first, second, { ...other, status: 'other' }] })
      const where = { id: { in: [first.id, second.id, other.id] }, status: 'new' }
      expect(await prisma.order.updateMany({ where, data: { totalCents: { increment: 5 } } })).toEqual({ count: 2 })
      const found = await facts()
      expect(brief(found).sort()).toEqual([`updated ${first.id}`, `updated ${second.id}`])
      expect(found[0]).toMatchObject({ changed: ['totalCents'], row: { totalCents: 5 } })
      const returned = await prisma.order.updateManyAndReturn({ where, data: { status: 'paid' }, omit: { id: true } })
      expect(returned.length).toBe(2)
      for (const row of returned) expect(Object.keys(row)).not.toContain('id')
      expect(brief(await facts()).sort()).toEqual([`updated ${first.id}`, `updated ${second.id}`])
      expect(await prisma.order.updateMany({ where, data: { status: 'paid' } })).toEqual({ count: 0 })
      expect(await facts()).toEqual([])
      proved('update many', 'increment and decrement')
    })

    it('delete and deleteMany: a fact for each row that is gone', async () => {
      const [first, second, third] = [order(), order(), order()]
      await shop.base.order.createMany({ data: [first, second, third] })
      await prisma.order.delete({ where: { id: first.id }, select: { status: true } })
      const [deleted] = await facts()
      expect(deleted).toMatchObject({ type: 'deleted', id: first.id, row: { customerId } })
      const where = { id: { in: [first.id, second.id, third.id] } }
      expect(await prisma.order.deleteMany({ where })).toEqual({ count: 2 })
      expect(brief(await facts()).sort()).toEqual([`deleted ${second.id}`, `deleted ${third.id}`])
      expect(await prisma.order.deleteMany({ where })).toEqual({ count: 0 })
      expect(await facts()).toEqual([])
      await prisma.stock.createMany({ data: [1, 2, 3].map((warehouse) => ({ warehouse, sku: `s'"${warehouse}` })) })
      expect((await facts()).length).toBe(3)
      expect(await prisma.stock.deleteMany({ where: { warehouse: { lte: 3 } }, limit: 2 })).toEqual({ count: 2 })
      expect((await facts()).map(({ type }) => type)).toEqual(['deleted', 'deleted'])
      expect(await prisma.stock.deleteMany()).toEqual({ count: 1 })
      expect((await facts()).map(({ type }) => type)).toEqual(['deleted'])
      proved('delete many')
    })

    it('upsert: created and updated are told apart', async () => {
      const data = order()
      const upsert = { where: { id: data.id }, create: data, update: { status: 'again' }, select: { status: true } }
      expect(JSON.stringify(await prisma.order.upsert(upsert))).toBe('{"status":"new"}')
      expect(JSON.stringify(await prisma.order.upsert(upsert))).toBe('{"status":"again"}')
      const found = await facts()
      expect(brief(found)).toEqual([`created ${data.id}`, `updated ${data.id}`])
      expect(found[1]?.changed).toEqual(['status'])
      proved('upsert: created told from updated')
    })

    it('upserts of one row at the same moment: one created it, the others updated it', async () => {
      for (let round = 0; round < 5; round++) {
        const data = order()
        const upsert = { where: { id: data.id }, create: data, update: { totalCents: { increment: 1 } } }
        await Promise.all(Array.from({ length: 4 }, () => prisma.order.upsert(upsert)))
        const found = await facts()
        expect(brief(found)).toEqual([`created ${data.id}`, ...Array(3).fill(`updated ${data.id}`)])
        expect(found.map(({ row }) => row['totalCents'])).toEqual([0, 1, 2, 3])
      }
      proved('upserts of one row at the same moment')
    })

    it('select, omit, include and relations: the caller gets what was asked for, the mapper the full row', async () => {
      const data = order()
      const selected = await prisma.order.create({ data, select: { customer: { select: { name: true } } } })
      expect(JSON.stringify(selected)).toBe('{"customer":{"name":"Ada"}}')
      const omitted = await prisma.order.update({
        where: { id: data.id },
        data: { status: 'x' },
        omit: { id: true, customerId: true, xactId: true },
        include: { items: true },
      })
      expect(Object.keys(omitted).sort()).toEqual(['createdAt', 'items', 'status', 'totalCents'])
      const connected = await prisma.order.update({
        where: { id: data.id },
        data: { customer: { connect: { id: customerId } } },
        include: { customer: true },
      })
      expect(connected.customer.name).toBe('Ada')
      expect((await prisma.order.update({ where: { id: data.id }, data: { status: 'y' } }).customer())?.name).toBe(
        'Ada',
      )
      const found = await facts()
      expect(found.map(({ row }) => row['id'])).toEqual(Array(4).fill(data.id))
      const columns = ['id', 'customerId', 'status', 'totalCents', 'createdAt', 'xactId'].sort()
      for (const { row } of found) expect(Object.keys(row).sort()).toEqual(columns)
      expect(found.map(({ changed }) => changed)).toEqual([undefined, ['status'], ['customerId'], ['status']])
      proved('columns hidden from the caller')
    })

    it('a nested write on a model with mappers is refused before anything is written', async () => {
      const id = newId()
      const nested: readonly [string, () => PromiseLike<unknown>][] = [
        ['orders.create', () => prisma.customer.create({ data: { id, name: 'x', orders: { create: { id } } } })],
        [
          'orders.createMany',
          () => prisma.customer.create({ data: { id, name: 'x', orders: { createMany: { data: [{ id }] } } } }),
        ],
        [
          'orders.connectOrCreate',
          () =>
            prisma.customer.update({
              where: { id: customerId },
              data: { orders: { connectOrCreate: { where: { id }, create: { id } } } },
            }),
        ],
        [
          'orders.updateMany',
          () =>
            prisma.customer.upsert({
              where: { id: customerId },
              create: { id, name: 'x' },
              update: { orders: { updateMany: { where: {}, data: { status: 'x' } } } },
            }),
        ],
        [
          'orders.deleteMany',
          () => prisma.customer.update({ where: { id: customerId }, data: { orders: { deleteMany: {} } } }),
        ],
        [
          'orders.connect',
          () => prisma.customer.create({ data: { id, name: 'x', orders: { connect: { id: 'm-1' } } } }),
        ],
        [
          'customer.create → orders.create',
          () =>
            prisma.profile.create({ data: { customer: { create: { id, name: 'x', orders: { create: [{ id }] } } } } }),
        ],
        ['tags.create', () => prisma.order.create({ data: { ...order(id), tags: { create: { name: id } } } })],
      ]
      for (const [what, write] of nested) {
        const error = await Promise.resolve(write()).catch((reason: unknown) => reason)
        expect(error, what).toBeInstanceOf(UnseenWriteError)
        expect(String(error)).toContain(what.split(' → ').at(-1))
        expect(String(error)).toContain('Nothing was written')
      }
      expect(await shop.base.customer.findUnique({ where: { id } })).toBeNull()
      await expectNoRow(id)
      // On models without mappers they are the user's as ever.
      await prisma.customer.create({ data: { id, name: 'x', profile: { create: { motto: 'x' } } } })
      await prisma.order.create({ data: { ...order(), items: { create: { sku: 'x' } } } })
      expect((await facts()).length).toBe(1)
      record('nested writes through relations', 'refused')
    })

    it('a mapper that throws after the write fails the transaction, also when the caller swallows the error', async () => {
      const [alone, swallowed, array] = [order(), order(), order()]
      await expect(throwing.order.create({ data: alone })).rejects.toThrow('mapper')
      const body = throwing.$transaction(async (tx) => {
        await tx.order.create({ data: swallowed }).catch(() => undefined)
        return 'committed'
      })
      await expect(body).rejects.toThrow('mapper')
      await expect(throwing.$transaction([throwing.order.create({ data: array })])).rejects.toThrow('mapper')
      for (const { id } of [alone, swallowed, array]) await expectNoRow(id)
      proved('a mapper that throws, swallowed by the caller')
    })

    it('the transaction waits for a write that nobody awaits', async () => {
      const data = order()
      await prisma.$transaction(async (tx) => {
        void tx.order.create({ data }).then(() => undefined)
      })
      const [fact] = await facts()
      expect(fact?.id).toBe(data.id)
      expect(fact?.xid).toBe(await writer(data.id))
      const lost = order()
      const failing = throwing.$transaction(async (tx) => {
        void tx.order.create({ data: lost }).catch(() => undefined)
      })
      await expect(failing).rejects.toThrow('mapper')
      await expectNoRow(lost.id)
      proved('a write that nobody awaits')
    })

    it('deleteMany deletes what it read and locked, and nothing that comes to match meanwhile', async () => {
      const [first, second] = [order(), order()]
      await shop.base.order.createMany({
        data: [
          { ...first, status: 'race' },
          { ...second, status: 'no' },
        ],
      })
      const other = await shop.database.pool.connect()
      try {
        await other.query('BEGIN')
        await other.query(`UPDATE orders SET total_cents = 7 WHERE id = $1`, [first.id])
        await other.query(`UPDATE orders SET status = 'race' WHERE id = $1`, [second.id])
        const deleting = Promise.resolve(prisma.order.deleteMany({ where: { status: 'race' } }))
        await shop.whenBlocked()
        await other.query('COMMIT')
        expect(await deleting).toEqual({ count: 1 })
      } finally {
        other.release()
      }
      const found = await facts()
      expect(brief(found)).toEqual([`deleted ${first.id}`])
      expect(found[0]?.row['totalCents']).toBe(7)
      expect(await writer(second.id)).toBeDefined()
      proved('delete many while others write')
    })
  })
}
