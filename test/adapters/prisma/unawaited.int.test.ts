import { beforeAll, describe, expect, it } from 'vitest'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { EmitError, InvalidFactError, NotInTransactionError } from '../../../src/errors.ts'
import type { FactInput } from '../../../src/fact.ts'
import { createShop, type EmittingTx, type FactlibClient, openFactlib, type Shop } from './prisma-under-test.ts'

let shop: Shop
let prisma: FactlibClient
let lastId = 0

beforeAll(async () => {
  shop = await createShop()
  prisma = openFactlib(shop)
})

const newId = () => `u-${++lastId}`
const factOf = (id: string): FactInput => ({
  aggregateType: 'customer',
  aggregateId: id,
  eventType: 'customer.created',
})
const create = (tx: EmittingTx, id: string) => tx.customer.create({ data: { id, name: id } })

async function emittedIds(): Promise<string[]> {
  return (await shop.evidence.messages()).map(({ content }) => decodeFact(content).aggregateId)
}

/** Rejections that nobody handled while `body` ran: in a program each would end the process. */
async function unhandledDuring(body: () => Promise<unknown>): Promise<unknown[]> {
  const unhandled: unknown[] = []
  const others = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', (error) => unhandled.push(error))
  try {
    await body()
    // Node tells of them after the microtasks of the turn in which they were rejected.
    await new Promise((resolve) => setImmediate(resolve))
    await shop.database.query('SELECT 1')
  } finally {
    process.removeAllListeners('unhandledRejection')
    for (const listener of others) process.on('unhandledRejection', listener)
  }
  return unhandled
}

describe('a fact that nobody awaits', () => {
  it('is committed with its row, as the last statement too', async () => {
    const id = newId()
    await prisma.$transaction(async (tx) => {
      await create(tx, id)
      tx.$emitFact(factOf(id))
    })
    expect(await shop.evidence.rowTransaction(id)).toBeDefined()
    expect(await emittedIds()).toEqual([id])
  })

  it('is committed with its row in a nested transaction', async () => {
    const id = newId()
    await prisma.$transaction(async (tx) => {
      await tx.$transaction(async (inner) => {
        await create(inner, id)
        inner.$emitFact(factOf(id))
      })
    })
    expect(await emittedIds()).toEqual([id])
  })

  it('rolls the transaction back when it is invalid', async () => {
    const id = newId()
    const unhandled = await unhandledDuring(async () => {
      const transaction = prisma.$transaction(async (tx) => {
        tx.$emitFact({ ...factOf(id), eventType: '' })
        await create(tx, id)
      })
      await expect(transaction).rejects.toThrow(InvalidFactError)
    })
    expect(unhandled).toEqual([])
    expect(await shop.evidence.rowTransaction(id)).toBeUndefined()
  })

  it('rolls the transaction back when the database refuses it', async () => {
    const id = newId()
    const unhandled = await unhandledDuring(async () => {
      const transaction = prisma.$transaction(async (tx) => {
        await create(tx, id)
        await tx.$queryRaw`SELECT 1 / 0`.catch(() => {})
        tx.$emitFact(factOf(id))
      })
      await expect(transaction).rejects.toThrow(EmitError)
    })
    expect(unhandled).toEqual([])
    expect(await shop.evidence.rowTransaction(id)).toBeUndefined()
    expect(await emittedIds()).toEqual([])
  })

  it('does not outlive a body that throws, whose error is the one that is seen', async () => {
    const id = newId()
    const unhandled = await unhandledDuring(async () => {
      const transaction = prisma.$transaction(async (tx) => {
        await create(tx, id)
        await Promise.all([tx.$emitFact(factOf(id)), Promise.reject(new Error('of the body'))])
      })
      await expect(transaction).rejects.toThrow('of the body')
      const synchronous = prisma.$transaction(async (tx) => {
        tx.$emitFact({ ...factOf(id), aggregateType: '' })
        throw new Error('of the body')
      })
      await expect(synchronous).rejects.toThrow('of the body')
    })
    expect(unhandled).toEqual([])
    expect(await shop.evidence.rowTransaction(id)).toBeUndefined()
    expect(await emittedIds()).toEqual([])
  })

  it('is taken before a rollback, which it must not overtake', async () => {
    const id = newId()
    let outcome: Promise<unknown> | undefined
    const transaction = prisma.$transaction(async (tx) => {
      await create(tx, id)
      outcome = tx.$emitFact(factOf(id)).then(
        () => 'taken',
        (error: unknown) => error,
      )
      throw new Error('of the body')
    })
    await expect(transaction).rejects.toThrow('of the body')
    expect(await outcome).toBe('taken')
    expect(await emittedIds()).toEqual([])
  })

  it('is reported by Node when its transaction is over', async () => {
    const id = newId()
    let late: EmittingTx | undefined
    await prisma.$transaction(async (tx) => {
      late = tx
    })
    const unhandled = await unhandledDuring(async () => {
      late?.$emitFact(factOf(id))
    })
    expect(unhandled).toEqual([expect.any(NotInTransactionError)])
    expect(await emittedIds()).toEqual([])
  })
})

describe('a fact that is awaited and fails', () => {
  it('leaves the decision to who awaited it', async () => {
    const id = newId()
    await prisma.$transaction(async (tx) => {
      await create(tx, id)
      await expect(tx.$emitFact({ ...factOf(id), eventType: '' })).rejects.toThrow(InvalidFactError)
      await tx.$emitFact([{ ...factOf(id), eventType: '' }]).catch(() => {})
      await Promise.allSettled([tx.$emitFact({ ...factOf(id), aggregateId: '' }).finally(() => {})])
    })
    expect(await shop.evidence.rowTransaction(id)).toBeDefined()
    expect(await emittedIds()).toEqual([])
  })
})
