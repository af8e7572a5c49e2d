import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { factlib } from '../../../adapters/prisma/index.ts'
import type { PrismaClient } from '../../../prisma/generated-client/client.ts'
import type { ModelRow } from '../../contracts/model-rows.ts'
import type { SafetyOutcome } from '../../contracts/safety-results.ts'
import { waitFor } from '../../support/wait.ts'
import { brief, factOf, newId, seen, withModels } from './models-contract.ts'
import type { ModelsShop } from './models-shop.ts'

/** Other extensions beside `models`, and what `models` cannot see. */
export function describeModelsEdges(
  version: string,
  open: (options?: object) => Promise<ModelsShop>,
  record: (row: ModelRow, outcome: SafetyOutcome) => void,
): void {
  describe(`models and what is beside them: ${version}`, () => {
    let shop: ModelsShop
    let prisma: ReturnType<typeof withModels>
    const customerId = 'ada'

    beforeAll(async () => {
      shop = await open()
      prisma = withModels(shop.base)
      await shop.base.customer.create({ data: { id: customerId, name: 'Ada' } })
    })
    afterEach(async () => void (await seen(shop)))

    const order = (id = newId()) => ({ id, customerId })
    const facts = async () => brief(await seen(shop))

    it('unseen: raw SQL, links of a many-to-many without a model, cascades in the database', async () => {
      const data = order()
      await prisma.$executeRaw`INSERT INTO orders (id, customer_id) VALUES (${data.id}, ${customerId})`
      expect(await facts()).toEqual([])
      record('raw SQL', 'unseen')
      await prisma.tag.create({ data: { name: data.id } })
      await facts()
      await prisma.order.update({ where: { id: data.id }, data: { tags: { connect: { name: data.id } } } })
      // The order is updated, as the call says; that the tag is linked now is nobody's change.
      expect(await facts()).toEqual([`updated ${data.id}`])
      record('links of many-to-many without a model', 'unseen')
      const items = shop.base.$extends(factlib({ prefix: 'shop', models: { OrderItem: { on: factOf } } }))
      await items.orderItem.create({ data: { orderId: data.id, sku: 'x' } })
      expect((await facts()).length).toBe(1)
      await items.order.delete({ where: { id: data.id } })
      expect(await shop.base.orderItem.count({ where: { orderId: data.id } })).toBe(0)
      expect(await facts()).toEqual([])
      record('cascades in the database', 'unseen')
    })

    it.each([
      ['before', (base: PrismaClient) => withModels(isolating(base, base) as unknown as PrismaClient)],
      ['after', (base: PrismaClient) => isolating(base, withModels(base) as unknown as PrismaClient)],
    ])('an extension %s it that moves each call into a transaction of its own is refused', async (_, extend) => {
      const extended = extend(shop.base) as unknown as PrismaClient
      for (const write of [
        (client: Pick<PrismaClient, 'order'>, data: ReturnType<typeof order>) => client.order.create({ data }),
        (client: Pick<PrismaClient, 'order'>, data: ReturnType<typeof order>) =>
          client.order.createMany({ data: [data] }),
      ]) {
        const [alone, inside] = [order(), order()]
        await expect(write(extended, alone)).rejects.toMatchObject({ code: 'FACTLIB_UNSEEN_WRITE' })
        const body = extended.$transaction(async (tx) => void (await write(tx, inside)))
        await expect(body).rejects.toMatchObject({ code: 'FACTLIB_UNSEEN_WRITE' })
        expect(await shop.base.order.count({ where: { id: { in: [alone.id, inside.id] } } })).toBe(0)
      }
      expect(await facts()).toEqual([])
      record('something else moves the write out of its transaction', 'refused')
    })

    it('that extension splits an array of its own, with or without models: not supported', async () => {
      const split = isolating(shop.base, shop.base).$extends(factlib({ prefix: 'shop' }))
      const data = order()
      const array = split.$transaction([
        split.order.create({ data }),
        split.$emitFact(factOf(data, { operation: 'explicit', model: 'order' })),
        split.customer.create({ data: { id: customerId, name: 'taken' } }),
      ])
      await expect(array).rejects.toMatchObject({ code: 'P2002' })
      // The array has failed, and yet its row is committed, by that extension's own transaction, and so is its fact.
      const found: string[] = []
      await waitFor(
        async () => {
          found.push(...(await facts()))
          return found.length > 0 && (await shop.base.order.count({ where: { id: data.id } })) === 1
        },
        { what: 'the row and the fact of an array that failed', timeoutMs: 10_000 },
      )
      expect(found).toEqual([`explicit ${data.id}`])
    })

    it('extensions after it see the caller’s own call, and may change its arguments', async () => {
      const calls: string[] = []
      const extended = prisma.$extends({
        query: {
          order: {
            async $allOperations({ operation, args, query }) {
              const result = (await query(args)) as { count?: number }
              calls.push(`${operation} ${Object.keys(args).sort()} ${result?.count ?? ''}`)
              return result
            },
            updateMany: ({ args, query }) => query({ ...args, where: { AND: [args.where ?? {}, { status: 'mine' }] } }),
          },
        },
      })
      const [mine, theirs] = [{ ...order(), status: 'mine' }, order()]
      expect(await extended.order.createMany({ data: [mine, theirs] })).toEqual({ count: 2 })
      const where = { id: { in: [mine.id, theirs.id] } }
      expect(await extended.order.updateMany({ where, data: { totalCents: 3 } })).toEqual({ count: 1 })
      const upsert = { where: { id: mine.id }, create: mine, update: { totalCents: 4 }, select: { id: true } }
      await extended.order.upsert(upsert)
      await extended.$transaction((tx) => tx.order.deleteMany({ where }))
      expect(calls).toEqual(
        [
          'createMany data 2',
          'updateMany data,where 1',
          'upsert create,select,update,where ',
          'deleteMany where 2',
        ].map((call) => call),
      )
      const created = [`created ${mine.id}`, `created ${theirs.id}`, `updated ${mine.id}`, `updated ${mine.id}`]
      const found = await facts()
      expect(found.slice(0, 4)).toEqual(created)
      expect(found.slice(4).sort()).toEqual([`deleted ${mine.id}`, `deleted ${theirs.id}`].sort())
    })

    it('an extension after it that narrows deleteMany, or adds a nested write, is refused', async () => {
      const narrowing = prisma.$extends({
        query: {
          order: { deleteMany: ({ query }) => query({ where: { id: 'nobody' } }) },
          customer: {},
        },
      })
      const data = order()
      await shop.base.order.create({ data })
      const deleting = narrowing.order.deleteMany({ where: { id: data.id } })
      await expect(deleting).rejects.toMatchObject({ code: 'FACTLIB_UNSEEN_WRITE' })
      const nesting = prisma.$extends({
        query: {
          order: {
            update: ({ args, query }) =>
              query({ ...args, data: { ...args.data, tags: { create: { name: 'nested' } } } }),
          },
        },
      })
      const updating = nesting.order.update({ where: { id: data.id }, data: { status: 'x' } })
      await expect(updating).rejects.toMatchObject({ code: 'FACTLIB_UNSEEN_WRITE' })
      expect(await shop.base.tag.count({ where: { name: 'nested' } })).toBe(0)
      expect(await shop.base.order.count({ where: { id: data.id, status: 'new' } })).toBe(1)
      expect(await facts()).toEqual([])
    })

    it('computed fields stay, also those that need a column that is hidden', async () => {
      const extended = withModels(
        shop.base.$extends({
          result: {
            order: { label: { needs: { id: true, status: true }, compute: ({ id, status }) => `${id}/${status}` } },
          },
        }) as unknown as PrismaClient,
      ) as unknown as { order: { create(args: object): Promise<{ label: string }> } }
      const [first, second] = [order(), order()]
      const selected = await extended.order.create({ data: first, select: { label: true, totalCents: true } })
      expect(JSON.parse(JSON.stringify(selected))).toEqual({ label: `${first.id}/new`, totalCents: 0 })
      const omitted = await extended.order.create({ data: second, omit: { status: true } })
      expect(omitted.label).toBe(`${second.id}/new`)
      expect(JSON.parse(JSON.stringify(omitted))).not.toHaveProperty('status')
    })

    it('the client’s own omit hides columns from the caller, not from the mapper', async () => {
      const omitting = await open({ omit: { order: { customerId: true } } })
      const client = withModels(omitting.base)
      await omitting.base.customer.create({ data: { id: customerId, name: 'Ada' } })
      const data = order()
      const created = await client.order.create({ data })
      expect(Object.keys(created)).not.toContain('customerId')
      expect(JSON.stringify(created)).not.toContain('customerId')
      await client.order.updateMany({ where: { id: data.id }, data: { status: 'x' } })
      await client.order.deleteMany({ where: { id: data.id } })
      expect((await seen(omitting)).map(({ row }) => row['customerId'])).toEqual(Array(3).fill(customerId))
    })

    it('soft delete is an update that the mapper tells by its changed fields', async () => {
      const client = shop.base.$extends(
        factlib({
          prefix: 'shop',
          models: {
            Stock: {
              updated: ({ warehouse, sku, deletedAt }, { changedFields }) =>
                changedFields?.includes('deletedAt')
                  ? {
                      aggregateType: 'stock',
                      aggregateId: `${warehouse}-${sku}`,
                      eventType: deletedAt === null ? 'restored' : 'deleted',
                      payload: { row: {} },
                    }
                  : undefined,
            },
          },
        }),
      )
      const [warehouse, sku] = [9, newId()]
      await client.stock.create({ data: { warehouse, sku } })
      await client.stock.update({ where: { warehouse_sku: { warehouse, sku } }, data: { quantity: 1 } })
      expect(await facts()).toEqual([])
      await client.stock.update({ where: { warehouse_sku: { warehouse, sku } }, data: { deletedAt: new Date() } })
      await client.stock.updateMany({ where: { warehouse, sku }, data: { deletedAt: null } })
      expect(await facts()).toEqual([`deleted ${warehouse}-${sku}`, `restored ${warehouse}-${sku}`])
      record('soft delete', 'proved')
      record('restore', 'proved')
    })

    it('models that cannot work are refused when the client is extended', () => {
      const extend = (models: object) => () => shop.base.$extends(factlib({ models } as object))
      expect(extend({ Ordr: { created: () => undefined } })).toThrow(/models\.Ordr is no model.*Order/)
      expect(extend({ Order: { restored: () => undefined } })).toThrow(/would never be called/)
      expect(() => (prisma as unknown as PrismaClient).$extends(factlib({ models: { Order: {} } }))).toThrow(
        /one factlib/,
      )
    })

    it('a mapper that gives a promise or no fact fails the write', async () => {
      const gives = (given: () => unknown) =>
        shop.base.$extends(factlib({ prefix: 'shop', models: { Order: { created: () => given() as never } } }))
      for (const [given, says] of [
        [async () => Promise.reject(new Error('nobody’s')), /models\.Order, created: the mapper gave a promise/],
        [() => 7, /models\.Order, created: the mapper must give a fact/],
        [() => [null], /models\.Order, created: the mapper must give a fact/],
        [() => ({ aggregateType: 'x' }), /aggregateId/],
      ] as const) {
        const data = order()
        const error = await gives(given)
          .order.create({ data })
          .catch((reason: unknown) => reason)
        expect(error).toMatchObject({ code: 'FACTLIB_INVALID_FACT', message: expect.stringMatching(says) })
        expect(await shop.base.order.count({ where: { id: data.id } })).toBe(0)
      }
      expect(await facts()).toEqual([])
    })
  })
}

/** Each operation in a transaction of its own, as tenants' row-level security is often done. */
function isolating(base: PrismaClient, client: PrismaClient) {
  return client.$extends({
    query: {
      async $allOperations({ args, query }) {
        const [, result] = await base.$transaction([
          base.$executeRaw`SELECT set_config('shop.tenant', '1', true)`,
          query(args),
        ])
        return result
      },
    },
  })
}
