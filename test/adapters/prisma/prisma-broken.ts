import { beforeAll, describe, it } from 'vitest'
import { createEmitter, type PrismaTransactionLike } from '../../../adapters/prisma/index.ts'
import type { PrismaClient } from '../../../prisma/generated-client/client.ts'
import { prepareEmission } from '../../../src/emitter.ts'
import { Fact } from '../../../src/fact.ts'
import {
  type AdapterUnderTest,
  type Emission,
  provesUnsafe,
  type SafetyRowName,
} from '../../contracts/transaction-safety.ts'
import { createShop, functionUnderTest, OPTIONS, type Shop, type Tx } from './prisma-under-test.ts'

/** What an adapter could do wrong on this version of Prisma, and the rows of the contract that notice. */
export function describeBrokenPrisma(version: string, load: () => Promise<(shop: Shop) => PrismaClient>): void {
  let open: (shop: Shop) => PrismaClient
  let shop: Shop
  let plain: AdapterUnderTest<Tx>

  beforeAll(async () => {
    open = await load()
    shop = await createShop()
    plain = functionUnderTest('emitFact(tx)', open(shop), createEmitter(OPTIONS).emitFact)
  })

  /** Emits on whatever client it is told to, with no look at what that is. */
  async function careless(client: Pick<Tx, '$executeRaw'>, emission: Emission) {
    const { statement, result } = prepareEmission(emission, OPTIONS)
    if (statement === undefined) return result
    const template = Object.assign([...statement.strings], { raw: statement.strings })
    await client.$executeRaw(template, ...statement.values)
    return result
  }

  function otherConnection(): AdapterUnderTest<Tx> {
    const other = open(shop)
    return { ...plain, name: 'emitting on another connection', emit: (_tx, emission) => careless(other, emission) }
  }

  function noCheck(): AdapterUnderTest<Tx> {
    const base = open(shop)
    return {
      ...functionUnderTest('emitting anywhere', base, createEmitter(OPTIONS).emitFact),
      emit: careless,
      emitOutside: (emission) => careless(base, emission),
    }
  }

  function afterCommit(): AdapterUnderTest<Tx> {
    const base = open(shop)
    const waiting: Emission[] = []
    return {
      ...functionUnderTest('emitting after the commit', base, createEmitter(OPTIONS).emitFact),
      async transaction(body) {
        await base.$transaction(body)
        for (const emission of waiting.splice(0)) await careless(base, emission)
      },
      async emit(_tx, emission) {
        const { facts, result } = prepareEmission(emission, OPTIONS)
        waiting.push(facts)
        return result
      },
    }
  }

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

  const caughtBy: readonly [make: () => AdapterUnderTest<Tx>, rows: readonly SafetyRowName[]][] = [
    [
      otherConnection,
      [
        'a committed fact has the transaction id of its row',
        'a fact may be emitted before its row',
        'a thrown error leaves neither row nor fact',
        'a caught and rethrown database error leaves neither row nor fact',
        'a rolled back savepoint leaves neither row nor fact, and the rest is kept',
        'a released savepoint keeps row and fact',
        'a released savepoint of a rolled back transaction leaves neither',
        'many facts in one call come in order, with their ids',
        'a committed transaction takes no more facts',
        'a rolled back transaction takes no more facts',
        'an aborted transaction takes no fact',
        'parallel calls inside one transaction stay in it, in order',
        'parallel transactions keep their own facts',
        'a retried transaction emits the same bytes',
      ],
    ],
    [noCheck, ['outside a transaction it is refused, and nothing is written']],
    [
      afterCommit,
      [
        'a committed fact has the transaction id of its row',
        'a rolled back savepoint leaves neither row nor fact, and the rest is kept',
        'many facts in one call come in order, with their ids',
        'a committed transaction takes no more facts',
        'an aborted transaction takes no fact',
      ],
    ],
    [inParallel, ['many facts in one call come in order, with their ids']],
    [changedBytes, ['a retried transaction emits the same bytes', 'every payload arrives as it was emitted']],
  ]

  describe(`prisma ${version}: an adapter that is broken on purpose is caught`, () => {
    for (const [make, rows] of caughtBy) {
      for (const row of rows) {
        it(`${make.name}: ${row}`, () => provesUnsafe(row, make(), shop.evidence))
      }
    }
  })
}
