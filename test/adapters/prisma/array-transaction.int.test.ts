import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { beforeAll, describe, expect, it } from 'vitest'
import { Prisma } from '../../../prisma/generated-client/client.ts'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { encodeFact } from '../../../src/envelope/encode.ts'
import { InvalidFactError, NotInTransactionError } from '../../../src/errors.ts'
import { Fact, type FactInput } from '../../../src/fact.ts'
import {
  createShop,
  type EmittingTx,
  type FactlibClient,
  openFactlib,
  openPrisma,
  type Shop,
} from './prisma-under-test.ts'

let shop: Shop
let prisma: FactlibClient
let lastId = 0

beforeAll(async () => {
  shop = await createShop()
  prisma = openFactlib(shop)
  await prisma.customer.create({ data: { id: 'taken', name: 'taken' } })
})

function newRow(): { id: string; name: string } {
  lastId += 1
  return { id: `a-${lastId}`, name: `name ${lastId}` }
}

function factOf(id: string, payload?: FactInput['payload']): FactInput {
  return { aggregateType: 'customer', aggregateId: id, eventType: 'customer.created', payload }
}

/** The slot's facts since the last call, with the transaction id of each. */
async function emitted(): Promise<{ id: string; xid: bigint; aggregateId: string }[]> {
  const messages = await shop.evidence.messages()
  return messages.map(({ content, xid }) => {
    const { id, aggregateId } = decodeFact(content)
    return { id, aggregateId, xid: BigInt(xid) }
  })
}

async function xidOf(id: string): Promise<bigint> {
  const transaction = await shop.evidence.rowTransaction(id)
  if (transaction === undefined) throw new Error(`no row ${id}`)
  return BigInt.asUintN(32, transaction)
}

async function expectNothingOf(id: string): Promise<void> {
  expect(await shop.evidence.rowTransaction(id)).toBeUndefined()
  expect(await emitted()).toEqual([])
}

describe('prisma.$emitFact as an element of an array transaction', () => {
  it('is a statement of that transaction, and its result is the id, in its place', async () => {
    const [first, second] = [newRow(), newRow()]
    const [before, firstRow, many, none, secondRow, count] = await prisma.$transaction([
      prisma.$emitFact(factOf(first.id)),
      prisma.customer.create({ data: first }),
      prisma.$emitFact([factOf(first.id), factOf(second.id)]),
      prisma.$emitFact([]),
      prisma.customer.create({ data: second }),
      prisma.customer.count({ where: { id: { in: [first.id, second.id] } } }),
    ])
    expect([firstRow.name, secondRow.name, count, none]).toEqual([first.name, second.name, 2, []])
    const xid = await xidOf(first.id)
    expect(await xidOf(second.id)).toBe(xid)
    expect(await emitted()).toEqual([
      { id: before, aggregateId: first.id, xid },
      { id: many[0], aggregateId: first.id, xid },
      { id: many[1], aggregateId: second.id, xid },
    ])
  })

  it.each<[string, (id: string) => Prisma.PrismaPromise<unknown>[]]>([
    ['before the fact', (id) => [refused(), prisma.$emitFact(factOf(id))]],
    ['after the fact', (id) => [prisma.$emitFact(factOf(id)), refused()]],
    ['after row and fact', (id) => [create(id), prisma.$emitFact(factOf(id)), refused()]],
    ['after row and large fact', (id) => [create(id), prisma.$emitFact(factOf(id, Buffer.alloc(50_000))), refused()]],
  ])('leaves nothing when an element fails %s; the error is the one that Prisma throws', async (_, elements) => {
    const { id } = newRow()
    await expect(prisma.$transaction(elements(id))).rejects.toSatisfy((error) => {
      expect(error).toBeInstanceOf(Prisma.PrismaClientKnownRequestError)
      expect(error).toMatchObject({ code: 'P2002', meta: { modelName: 'Customer' } })
      return true
    })
    await expectNothingOf(id)
  })

  const create = (id: string) => prisma.customer.create({ data: { id, name: id } })
  const refused = () => create('taken')

  it('sends nothing unless the array runs, and is refused when awaited alone', async () => {
    const { id } = newRow()
    const element = prisma.$emitFact(factOf(id))
    await prisma.customer.count()
    expect(await emitted()).toEqual([])
    await expect(element).rejects.toThrow(NotInTransactionError)
    await expect(Promise.all([prisma.$emitFact([factOf(id)])])).rejects.toThrow(NotInTransactionError)
    expect(await element.catch((error: unknown) => error)).toBeInstanceOf(NotInTransactionError)
    await expect(element.finally(() => {})).rejects.toThrow(NotInTransactionError)
    await expectNothingOf(id)
  })

  it('throws at the call when the fact is invalid, so that the array never starts', async () => {
    const row = newRow()
    expect(() => prisma.$emitFact({ ...factOf(row.id), eventType: '' })).toThrow(InvalidFactError)
    const run = async () => prisma.$transaction([prisma.customer.create({ data: row }), prisma.$emitFact(factOf(''))])
    await expect(run()).rejects.toThrow(InvalidFactError)
    await expectNothingOf(row.id)
  })

  it('keeps the isolation level and the time limits of the array', async () => {
    const level = () => prisma.$queryRaw<{ level: string }[]>`SELECT current_setting('transaction_isolation') AS level`
    const options = { isolationLevel: 'Serializable', maxWait: 2_000, timeout: 10_000 } as const
    const [, [row]] = await prisma.$transaction([prisma.$emitFact(factOf(newRow().id)), level()], options)
    expect(row).toEqual({ level: 'serializable' })
    expect(await emitted()).toHaveLength(1)

    const row2 = newRow()
    const slow = (client: Pick<FactlibClient, '$queryRaw'>) => client.$queryRaw`SELECT pg_sleep(0.5)::text`
    const tooLong = (elements: Prisma.PrismaPromise<unknown>[]) => prisma.$transaction(elements, { timeout: 50 })
    const reference = await tooLong([slow(prisma), prisma.customer.count()]).catch((error: unknown) => error)
    const error = await tooLong([
      create(row2.id),
      prisma.$emitFact(factOf(row2.id)),
      slow(prisma),
      create('late'),
    ]).catch((error: unknown) => error)
    expect(reference).toBeInstanceOf(Prisma.PrismaClientKnownRequestError)
    expect(error).toMatchObject({ code: (reference as Prisma.PrismaClientKnownRequestError).code })
    await expectNothingOf(row2.id)
  })

  it('may run again, with the same bytes', async () => {
    const row = newRow()
    const fact = new Fact(factOf(row.id, { again: true }))
    const element = prisma.$emitFact(fact)
    await expect(prisma.$transaction([element, refused()])).rejects.toThrow(Prisma.PrismaClientKnownRequestError)
    expect(await prisma.$transaction([element, create(row.id)])).toMatchObject(
      [fact.id, row.id].map((id, i) => (i ? { id } : id)),
    )
    const messages = await shop.evidence.messages()
    expect(messages.map(({ content }) => Buffer.from(content))).toEqual([Buffer.from(encodeFact(fact))])
  })

  it('sends its own bytes in each of many arrays of one form', async () => {
    const rows = Array.from({ length: 20 }, newRow)
    for (const [index, row] of rows.entries()) {
      // Every second one is large, and takes the other way.
      const payload = Buffer.alloc(index % 2 === 0 ? 10 : 20_000, `${index};`)
      const fact = new Fact(factOf(row.id, payload))
      const [created, factId] = await prisma.$transaction([create(row.id), prisma.$emitFact(fact)])
      expect([created.id, factId]).toEqual([row.id, fact.id])
    }
    const facts = (await shop.evidence.messages()).map(({ content }) => decodeFact(content))
    expect(
      facts.map(({ aggregateId, payload }) => [aggregateId, Buffer.from(payload).subarray(0, 10).toString()]),
    ).toEqual(rows.map(({ id }, index) => [id, Buffer.alloc(10, `${index};`).toString()]))
  })

  it('does not leave the bytes of large facts in the plan cache of Prisma', async () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const heapAfter = async (arrays: number) => {
      for (let i = 0; i < arrays; i++) {
        await prisma.$transaction([
          prisma.customer.count(),
          prisma.$emitFact(factOf('large', Buffer.alloc(400_000, `${i};`))),
        ])
      }
      collect()
      return process.memoryUsage().heapUsed
    }
    const before = await heapAfter(5)
    // Kept, they would be more than 60 times 1 MB.
    expect((await heapAfter(60)) - before).toBeLessThan(20_000_000)
    expect(await emitted()).toHaveLength(65)
  })

  it('is told of on the diagnostics channel when the array has committed or failed', async () => {
    const phases: string[] = []
    const listener = (event: unknown) => phases.push((event as { phase: string }).phase)
    subscribe('factlib:emit', listener)
    try {
      await prisma.$transaction([prisma.$emitFact(factOf('told'))])
      await prisma.$transaction([prisma.$emitFact(factOf('told')), refused()]).catch(() => {})
    } finally {
      unsubscribe('factlib:emit', listener)
    }
    expect(phases).toEqual(['start', 'end', 'start', 'error'])
    expect(await emitted()).toHaveLength(1)
  })
})

describe('an element in a transaction that is not its own', () => {
  it('is refused by a client without the extension, and nothing of the array is sent', async () => {
    const base = openPrisma(shop)
    const row = newRow()
    const run = base.$transaction([base.customer.create({ data: row }), prisma.$emitFact(factOf(row.id))])
    await expect(run).rejects.toThrow(NotInTransactionError)
    await expectNothingOf(row.id)
  })

  it('is refused by another client with the extension, and nothing of the array is sent', async () => {
    const other = openFactlib(shop)
    const row = newRow()
    const run = other.$transaction([other.customer.create({ data: row }), prisma.$emitFact(factOf(row.id))])
    await expect(run).rejects.toThrow(NotInTransactionError)
    await expectNothingOf(row.id)
  })

  it.each<[string, (tx: EmittingTx, id: string) => Promise<unknown>]>([
    [
      'of the client',
      (tx, id) => tx.$transaction([tx.customer.create({ data: { id, name: id } }), prisma.$emitFact(factOf(id))]),
    ],
    [
      'of the transaction',
      (tx, id) => tx.$transaction([tx.customer.create({ data: { id, name: id } }), tx.$emitFact(factOf(id))]),
    ],
    [
      'of the transaction, in an array of the client',
      (tx, id) => prisma.$transaction([prisma.customer.create({ data: { id, name: id } }), tx.$emitFact(factOf(id))]),
    ],
  ])('is refused inside an interactive transaction: %s', async (_, run) => {
    const row = newRow()
    let refused: unknown
    const transaction = prisma.$transaction(async (tx) => {
      refused = await run(tx, row.id).catch((error: unknown) => error)
      throw refused
    })
    await expect(transaction).rejects.toThrow()
    expect(refused).toBeInstanceOf(NotInTransactionError)
    expect((refused as Error).message).toContain('an array transaction is not part of an interactive one')
    await expectNothingOf(row.id)
  })
})
