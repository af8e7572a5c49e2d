import { beforeAll, describe, it } from 'vitest'
import { createEmitter, type PrismaTransactionLike } from '../../../adapters/prisma/index.ts'
import { Fact } from '../../../src/fact.ts'
import { type AdapterUnderTest, provesUnsafe } from '../../contracts/transaction-safety.ts'
import { describePrismaSafety } from './prisma-safety.ts'
import { createShop, functionUnderTest, OPTIONS, openPrisma, type Shop, type Tx } from './prisma-under-test.ts'

describePrismaSafety('7.10', async () => openPrisma, { nested: true })

describe('the contract notices an adapter that', () => {
  let shop: Shop
  let plain: AdapterUnderTest<Tx>

  beforeAll(async () => {
    shop = await createShop()
    plain = functionUnderTest('emitFact(tx)', openPrisma(shop), createEmitter(OPTIONS).emitFact)
  })

  function inParallel(): AdapterUnderTest<Tx> {
    const { emitFact } = createEmitter(OPTIONS)
    return {
      ...plain,
      name: 'many facts, one statement each, last first',
      async emit(tx, emission) {
        if (!Array.isArray(emission)) return emitFact(tx as PrismaTransactionLike, emission)
        const ids: string[] = []
        for (const one of [...emission].reverse()) ids.push(await emitFact(tx as PrismaTransactionLike, one))
        return ids.reverse()
      },
    }
  }

  function changedBytes(): AdapterUnderTest<Tx> {
    const { emitFact } = createEmitter(OPTIONS)
    return {
      ...plain,
      name: 'building the fact anew',
      async emit(tx, emission) {
        if (!(emission instanceof Fact)) return emitFact(tx as PrismaTransactionLike, emission)
        const { aggregateType, aggregateId, eventType, id } = emission
        return emitFact(tx as PrismaTransactionLike, { aggregateType, aggregateId, eventType, id })
      },
    }
  }

  it('emits many facts one by one, the last first', async () => {
    await provesUnsafe('many facts in one call come in order, with their ids', inParallel(), shop.evidence)
  })

  it.each(['a retried transaction emits the same bytes', 'every payload arrives as it was emitted'] as const)(
    'builds the fact anew: %s',
    async (row) => {
      await provesUnsafe(row, changedBytes(), shop.evidence)
    },
  )
})
