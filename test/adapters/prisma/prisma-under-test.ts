import { readFile } from 'node:fs/promises'
import { PrismaPg } from '@prisma/adapter-pg'
import { factlib, type PrismaEmitter, type PrismaTransactionLike } from '../../../adapters/prisma/index.ts'
import { type Prisma, PrismaClient } from '../../../prisma/generated-client/client.ts'
import { createSafetyEvidence } from '../../contracts/safety-evidence.ts'
import type { AdapterUnderTest, SafetyEvidence } from '../../contracts/transaction-safety.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'

export interface Shop {
  readonly database: TestDatabase
  readonly evidence: SafetyEvidence
}

/** A database with the tables of prisma/schema.sql, and a slot. */
export async function createShop(): Promise<Shop> {
  const database = await createDatabase()
  await database.query(await readFile(new URL('../../../prisma/schema.sql', import.meta.url), 'utf8'))
  return { database, evidence: await createSafetyEvidence(database) }
}

/** A client on the shop, closed at the end of the test or file. `onQuery` gets the text of each of its statements. `options`: more of `new PrismaClient`. */
export function openPrisma({ database }: Shop, onQuery?: (query: string) => void, options = {}): PrismaClient {
  const adapter = new PrismaPg({ connectionString: database.url, max: 8 })
  const prisma = new PrismaClient({ ...options, adapter, log: [{ level: 'query', emit: 'event' }] })
  if (onQuery !== undefined) prisma.$on('query', ({ query }) => onQuery(query))
  registerCleanup(() => prisma.$disconnect())
  return prisma
}

export const OPTIONS = { prefix: 'shop' } as const

export function openFactlib(shop: Shop, open: (shop: Shop) => PrismaClient = openPrisma) {
  return open(shop).$extends(factlib(OPTIONS))
}

export type FactlibClient = ReturnType<typeof openFactlib>
/** The client of a transaction, without and with the extension. */
export type Tx = Prisma.TransactionClient
export type EmittingTx = Parameters<Parameters<FactlibClient['$transaction']>[0]>[0]

/** What both have, and the rows of the contract need. */
interface RowsTx {
  readonly customer: { create(args: { data: { id: string; name: string } }): PromiseLike<unknown> }
  $executeRawUnsafe(text: string): PromiseLike<number>
  $queryRawUnsafe(text: string): PromiseLike<unknown>
}

/** All but the emission: rows and transactions of this client, savepoints by raw SQL as Prisma 6 and 7.0 need it. */
function rows<ItsTx extends RowsTx>(
  name: string,
  transaction: (body: (tx: ItsTx) => Promise<void>) => Promise<void>,
  otherPool: (body: (tx: ItsTx) => Promise<void>) => Promise<void>,
): Omit<AdapterUnderTest<ItsTx>, 'emit' | 'emitOutside'> {
  let savepoints = 0
  return {
    name,
    transaction,
    async savepoint(tx, body) {
      const savepoint = `factlib_${++savepoints}`
      await tx.$executeRawUnsafe(`SAVEPOINT ${savepoint}`)
      try {
        await body(tx)
      } catch (error) {
        await tx.$executeRawUnsafe(`ROLLBACK TO SAVEPOINT ${savepoint}`)
        throw error
      }
      await tx.$executeRawUnsafe(`RELEASE SAVEPOINT ${savepoint}`)
    },
    insertRow: async (tx, id) => void (await tx.customer.create({ data: { id, name: id } })),
    failStatement: async (tx) => void (await tx.$queryRawUnsafe('SELECT 1 / 0')),
    statement: async (tx, text) => void (await tx.$executeRawUnsafe(text)),
    otherPoolTransaction: otherPool,
  }
}

/** `tx.$emitFact(fact)` of an extended client. */
export function extensionUnderTest(
  name: string,
  client: FactlibClient,
  other: FactlibClient,
): AdapterUnderTest<EmittingTx> {
  return {
    ...rows<EmittingTx>(
      name,
      (body) => client.$transaction(body),
      (body) => other.$transaction(body),
    ),
    emit: (tx, emission) => tx.$emitFact(emission),
    emitOutside: async (emission) => client.$emitFact(emission),
  }
}

/** `emitFact(tx, fact)`, or another function in its place. */
export function functionUnderTest(
  name: string,
  client: PrismaClient,
  emit: PrismaEmitter['emitFact'],
  other = client,
): AdapterUnderTest<Tx> {
  return {
    ...rows<Tx>(
      name,
      (body) => client.$transaction(body),
      (body) => other.$transaction(body),
    ),
    emit: (tx, emission) => emit(tx as PrismaTransactionLike, emission),
    // As JavaScript, or a cast, may do it: the compiler refuses a client.
    emitOutside: (emission) => emit(client as unknown as PrismaTransactionLike, emission),
  }
}
