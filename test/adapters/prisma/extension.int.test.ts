import { beforeAll, describe, expect, it } from 'vitest'
import {
  checkEmission,
  createEmitter,
  emitFact,
  factlib,
  type PrismaTransactionLike,
} from '../../../adapters/prisma/index.ts'
import type { PrismaClient } from '../../../prisma/generated-client/client.ts'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { NotInTransactionError } from '../../../src/errors.ts'
import type { FactInput } from '../../../src/fact.ts'
import { createShop, OPTIONS, openFactlib, openPrisma, type Shop } from './prisma-under-test.ts'

let shop: Shop
let base: PrismaClient
let lastId = 0

beforeAll(async () => {
  shop = await createShop()
  base = openPrisma(shop)
})

const newId = () => `e-${++lastId}`
const factOf = (id: string): FactInput => ({
  aggregateType: 'customer',
  aggregateId: id,
  eventType: 'customer.created',
})

/** Prefix, aggregate id and transaction id of the slot's facts since the last call. */
async function emitted(): Promise<{ prefix: string; aggregateId: string; xid: bigint }[]> {
  const messages = await shop.evidence.messages()
  return messages.map(({ prefix, content, xid }) => ({
    prefix,
    aggregateId: decodeFact(content).aggregateId,
    xid: BigInt(xid),
  }))
}

async function expectTogether(id: string, prefix = 'shop'): Promise<void> {
  const row = await shop.evidence.rowTransaction(id)
  expect(row).toBeDefined()
  expect(await emitted()).toEqual([{ prefix, aggregateId: id, xid: BigInt.asUintN(32, row ?? 0n) }])
}

describe('with other extensions', () => {
  /** Each operation in a transaction of its own, as tenants' row-level security is often done. */
  function isolating(client: PrismaClient) {
    return client.$extends({
      query: {
        async $allOperations({ args, query }) {
          const [, result] = await client.$transaction([
            client.$executeRaw`SELECT set_config('shop.tenant', '1', true)`,
            query(args),
          ])
          return result
        },
      },
    })
  }

  const isolatingAfter = (client: PrismaClient) =>
    client.$extends(factlib(OPTIONS)).$extends({
      query: {
        async $allOperations({ args, query }) {
          const [, result] = await client.$transaction([
            client.$executeRaw`SELECT set_config('shop.tenant', '1', true)`,
            query(args),
          ])
          return result
        },
      },
    })

  it.each([
    ['before', (client: PrismaClient) => isolating(client).$extends(factlib(OPTIONS))],
    ['after', isolatingAfter],
  ])('one that moves every operation into a transaction of its own, %s it, does not move a fact', async (_, extend) => {
    const extended = extend(base) as ReturnType<typeof openFactlib>
    const id = newId()
    // What makes the test worth something: an ordinary statement is moved, and outlives the rollback.
    const transaction = extended.$transaction(async (tx) => {
      await tx.$executeRaw`INSERT INTO customers (id, name) VALUES (${id}, 'moved')`
      await tx.$emitFact(factOf(id))
      await createEmitter(OPTIONS).emitFact(tx, factOf(id))
      throw new Error('roll back')
    })
    await expect(transaction).rejects.toThrow('roll back')
    expect(await shop.evidence.rowTransaction(id)).toBeDefined()
    expect(await emitted()).toEqual([])
  })

  it('is extended again, keeps what was there before, and emits in both forms of transaction', async () => {
    const seen: string[] = []
    const before = base.$extends({
      client: { $before: () => 'before' },
      result: { customer: { label: { needs: { name: true }, compute: ({ name }) => `<${name}>` } } },
    })
    const after = before.$extends(factlib(OPTIONS)).$extends({
      client: { $after: () => 'after' },
      query: {
        customer: {
          create({ args, query }) {
            seen.push(args.data.id)
            return query(args)
          },
        },
      },
    })
    const first = newId()
    await after.$transaction(async (tx) => {
      expect([tx.$before(), tx.$after()]).toEqual(['before', 'after'])
      expect((await tx.customer.create({ data: { id: first, name: first } })).label).toBe(`<${first}>`)
      await tx.$emitFact(factOf(first))
    })
    await expectTogether(first)
    const second = newId()
    const [row, factId] = await after.$transaction([
      after.customer.create({ data: { id: second, name: second } }),
      after.$emitFact(factOf(second)),
    ])
    expect([row.label, typeof factId]).toEqual([`<${second}>`, 'string'])
    await expectTogether(second)
    expect(seen).toEqual([first, second])
  })

  it('one with a $transaction of its own, before and after it, is called too', async () => {
    const calls: string[] = []
    type Transact = PrismaClient['$transaction']
    const counting = (name: string, parent: { $transaction: unknown }) => ({
      client: {
        $transaction(this: unknown, ...args: unknown[]) {
          calls.push(name)
          return (parent.$transaction as (...all: unknown[]) => unknown).apply(this, args)
        },
      },
    })
    const before = base.$extends(counting('before', base)) as unknown as PrismaClient
    const middle = before.$extends(factlib(OPTIONS))
    const after = middle.$extends(counting('after', middle)) as unknown as typeof middle & { $transaction: Transact }
    const first = newId()
    await (after as typeof middle).$transaction(async (tx) => {
      await tx.customer.create({ data: { id: first, name: first } })
      await tx.$emitFact(factOf(first))
    })
    await expectTogether(first)
    const second = newId()
    await (after as typeof middle).$transaction([
      middle.customer.create({ data: { id: second, name: second } }),
      middle.$emitFact(factOf(second)),
    ])
    await expectTogether(second)
    expect(calls).toEqual(['after', 'before', 'after', 'before'])
  })

  it('several of its own keep their prefixes, in one array too', async () => {
    const shopClient = base.$extends(factlib({ prefix: 'shop' }))
    const billing = base.$extends(factlib({ prefix: 'billing' }))
    const id = newId()
    await shopClient.$transaction([
      shopClient.customer.create({ data: { id, name: id } }),
      shopClient.$emitFact(factOf(id)),
      billing.$emitFact(factOf(id)),
    ])
    expect((await emitted()).map(({ prefix }) => prefix)).toEqual(['shop', 'billing'])
    const stacked = shopClient.$extends(factlib({ prefix: 'billing' }))
    const next = newId()
    await stacked.$transaction(async (tx) => {
      await tx.customer.create({ data: { id: next, name: next } })
      tx.$emitFact(factOf(next))
    })
    await expectTogether(next, 'billing')
  })
})

describe('the transaction', () => {
  it('keeps the options of prisma.$transaction', async () => {
    const prisma = openFactlib(shop)
    const level = await prisma.$transaction(
      (tx) => tx.$queryRaw<{ level: string }[]>`SELECT current_setting('transaction_isolation') AS level`,
      { isolationLevel: 'RepeatableRead', maxWait: 2_000, timeout: 10_000 },
    )
    expect(level).toEqual([{ level: 'repeatable read' }])
  })

  it('that has timed out takes no fact', async () => {
    const prisma = openFactlib(shop)
    const id = newId()
    let refused: unknown
    const transaction = prisma.$transaction(
      async (tx) => {
        await tx.customer.create({ data: { id, name: id } })
        await tx.$queryRaw`SELECT pg_sleep(0.3)::text`.catch(() => {})
        refused = await tx.$emitFact(factOf(id)).catch((error: unknown) => error)
      },
      { timeout: 50 },
    )
    await expect(transaction).rejects.toMatchObject({ code: 'P2028' })
    expect(refused).toBeInstanceOf(NotInTransactionError)
    expect((refused as Error).cause).toMatchObject({ code: 'P2028' })
    expect(await emitted()).toEqual([])
  })

  it('takes many facts in one statement', async () => {
    const statements: string[] = []
    const prisma = openPrisma(shop, (query) => statements.push(query)).$extends(factlib(OPTIONS))
    await prisma.$transaction((tx) => tx.$emitFact(Array.from({ length: 100 }, () => factOf(newId()))))
    expect(statements.filter((text) => text.includes('pg_logical_emit_message'))).toHaveLength(1)
    expect(await emitted()).toHaveLength(100)
  })

  it('that is read-only takes a fact, as PostgreSQL does', async () => {
    const prisma = openFactlib(shop)
    const id = newId()
    await prisma.$transaction(async (tx) => {
      await tx.$executeRaw`SET TRANSACTION READ ONLY`
      await tx.$emitFact(factOf(id))
    })
    expect((await emitted()).map(({ aggregateId }) => aggregateId)).toEqual([id])
  })
})

describe('what is no transaction', () => {
  it.each<[string, () => unknown]>([
    ['the client', () => base],
    ['an extended client', () => base.$extends(factlib(OPTIONS))],
    ['undefined', () => undefined],
    ['null', () => null],
    ['something else', () => ({ query: () => {} })],
  ])('is refused by emitFact: %s', async (_, make) => {
    const emission = emitFact(make() as PrismaTransactionLike, { ...factOf(newId()), prefix: 'shop' })
    await expect(emission).rejects.toThrow(NotInTransactionError)
    expect(await emitted()).toEqual([])
  })

  it('is refused by $emitFact without its client', () => {
    const { $emitFact } = base.$extends(factlib(OPTIONS))
    expect(() => $emitFact(factOf(newId()))).toThrow('lost its client')
  })
})

describe('checkEmission', () => {
  it('asks through a client, an extended one and a transaction', async () => {
    const prisma = openFactlib(shop)
    // A slot is there: createShop made one.
    expect(await checkEmission(base)).toMatchObject({ ok: true, problems: [] })
    expect(await prisma.$transaction((tx) => checkEmission(tx))).toMatchObject({ ok: true, problems: [] })
    const check = await checkEmission(prisma, { slot: 'not_there' })
    expect(check).toMatchObject({ ok: false, problems: [{ code: 'SLOT_MISSING' }] })
  })

  it('asks the database that facts go to, whatever an extension does with reads', async () => {
    const elsewhere = base.$extends(factlib(OPTIONS)).$extends({
      query: { $queryRawUnsafe: () => Promise.reject(new Error('of a replica')) },
    })
    expect(await checkEmission(elsewhere)).toMatchObject({ ok: true })
  })
})
