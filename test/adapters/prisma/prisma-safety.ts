import { beforeAll } from 'vitest'
import { createEmitter } from '../../../adapters/prisma/index.ts'
import type { PrismaClient } from '../../../prisma/generated-client/client.ts'
import { describeBrokenAdapters } from '../../contracts/broken-adapters.ts'
import { type AdapterUnderTest, describeTransactionSafety } from '../../contracts/transaction-safety.ts'
import {
  createShop,
  type EmittingTx,
  extensionUnderTest,
  functionUnderTest,
  OPTIONS,
  openFactlib,
  type Shop,
  type Tx,
} from './prisma-under-test.ts'

/** Runs the transaction contract on one version of Prisma, in every way to emit, and on adapters that are broken. `nested`: it has nested transactions. */
export function describePrismaSafety(
  version: string,
  load: () => Promise<(shop: Shop) => PrismaClient>,
  { nested = false } = {},
): void {
  let shop: Shop
  let extension: AdapterUnderTest<EmittingTx>
  let plain: AdapterUnderTest<Tx>
  let plainOnExtended: AdapterUnderTest<Tx>

  beforeAll(async () => {
    const open = await load()
    shop = await createShop()
    const extended = openFactlib(shop, open)
    const otherExtended = openFactlib(shop, open)
    extension = extensionUnderTest('tx.$emitFact', extended, otherExtended)
    const { emitFact } = createEmitter(OPTIONS)
    plain = functionUnderTest('emitFact(tx)', open(shop), emitFact, open(shop))
    plainOnExtended = functionUnderTest(
      'emitFact(tx) of an extended client',
      extended as unknown as PrismaClient,
      emitFact,
      otherExtended as unknown as PrismaClient,
    )
  })

  const column = (way: string) => ({ table: 'transactions', orm: 'Prisma', version, way }) as const
  const run = <ItsTx>(way: string, adapter: () => AdapterUnderTest<ItsTx>) =>
    describeTransactionSafety(
      `prisma ${version}, ${way}`,
      () => ({ adapter: adapter(), evidence: shop.evidence }),
      column(way),
    )
  run('tx.$emitFact', () => extension)
  run('emitFact(tx)', () => plain)
  run('emitFact(tx), extended client', () => plainOnExtended)
  describeBrokenAdapters(`prisma ${version}`, () => ({
    adapter: plain,
    evidence: shop.evidence,
    database: shop.database,
  }))
  // From 7.5 on Prisma's own nested transactions are savepoints.
  if (nested) {
    run('tx.$emitFact, nested $transaction', () => ({
      ...extension,
      savepoint: (tx, body) => tx.$transaction((inner) => body(inner)),
    }))
  }
}
