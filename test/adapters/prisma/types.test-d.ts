/** Held by tsc (`npm run check`): nothing here is run. */
import type {
  EmissionPromise,
  EmitFactMethod,
  PrismaClientLike,
  PrismaQueryLike,
  PrismaTransactionLike,
} from '../../../adapters/prisma/index.ts'
import { checkEmission, createEmitter, emitFact, factlib } from '../../../adapters/prisma/index.ts'
import type { Customer, Order, Prisma, PrismaClient } from '../../../prisma/generated-client/client.ts'
import type { FactInput } from '../../../src/fact.ts'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function same<A, B>(_: Equal<A, B>): void {}

declare const base: PrismaClient
declare const fact: FactInput
const prisma = base.$extends(factlib({ prefix: 'shop' }))
const { emitFact: shopEmitFact } = createEmitter({ prefix: 'shop' })

export async function interactive(): Promise<void> {
  const result = await prisma.$transaction(
    async (tx) => {
      same<typeof tx.$emitFact, EmitFactMethod>(true)
      const one = await tx.$emitFact(fact)
      const many = await tx.$emitFact([fact, fact])
      same<typeof one, string>(true)
      same<typeof many, string[]>(true)
      // The user's own schema is still there.
      const customer = await tx.customer.create({ data: { id: '1', name: 'x' } })
      same<typeof customer, Customer>(true)
      // @ts-expect-error: a typing mistake in the model's name
      await tx.costumer.findMany()
      // @ts-expect-error: event type is missing
      await tx.$emitFact({ aggregateType: 'order', aggregateId: '1' })
      await emitFact(tx, fact)
      await shopEmitFact(tx, [fact])
      return 7 as const
    },
    { isolationLevel: 'Serializable', timeout: 1, maxWait: 1 },
  )
  same<typeof result, 7>(true)
  // @ts-expect-error: no isolation level of PostgreSQL's
  await prisma.$transaction(async () => {}, { isolationLevel: 'Sometimes' })
}

export async function array(): Promise<void> {
  const results = await prisma.$transaction([
    prisma.customer.create({ data: { id: '1', name: 'x' } }),
    prisma.$emitFact(fact),
    prisma.$emitFact([fact]),
    prisma.customer.count(),
  ])
  same<typeof results, [Customer, string, string[], number]>(true)
  same<ReturnType<typeof oneElement>, EmissionPromise<string>>(true)
  // Prisma's own type for what an array takes.
  const element: Prisma.PrismaPromise<string> = prisma.$emitFact(fact)
  await base.$transaction([element])
}

function oneElement() {
  return prisma.$emitFact(fact)
}

export async function composed(): Promise<void> {
  const extended = base
    .$extends({ client: { $before: () => 1 }, result: { customer: { label: { compute: () => 'x' } } } })
    .$extends(factlib())
    .$extends({ client: { $after: () => 2 }, model: { customer: { byName: (name: string) => name } } })
  await extended.$transaction(async (tx) => {
    same<ReturnType<typeof tx.$before>, 1>(true)
    same<ReturnType<typeof tx.$after>, 2>(true)
    same<ReturnType<typeof tx.customer.byName>, string>(true)
    const { label } = await tx.customer.findFirstOrThrow()
    same<typeof label, string>(true)
    await tx.$emitFact(fact)
    await emitFact(tx, fact)
  })
}

export async function plain(tx: Prisma.TransactionClient): Promise<void> {
  const one = await emitFact(tx, fact)
  const many = await emitFact(tx, [fact])
  same<typeof one, string>(true)
  same<typeof many, string[]>(true)
  // @ts-expect-error: the client is no transaction
  await emitFact(base, fact)
  // @ts-expect-error: nor is an extended one
  await shopEmitFact(prisma, fact)
  await checkEmission(base)
  await checkEmission(prisma, { slot: 'factlib_slot' })
  await checkEmission(tx)
}

/** The real client fits the shapes that the adapter asks for. */
export function fits(tx: Prisma.TransactionClient): void {
  const transaction: PrismaTransactionLike = tx
  const client: PrismaClientLike = base
  const query: PrismaQueryLike = tx
  void [transaction, client, query]
}

export async function models(): Promise<void> {
  const client = base
    .$extends({ client: { $before: () => 1 }, result: { order: { label: { compute: () => 'x' } } } })
    .$extends(
      factlib({
        prefix: 'shop',
        models: {
          Order: {
            created: (order, change) => {
              same<typeof order.status, string>(true)
              same<typeof order.createdAt, Date>(true)
              same<typeof change.operation, 'created'>(true)
              same<typeof change.model, 'Order'>(true)
              // @ts-expect-error: no such column
              order.statuss
              // @ts-expect-error: a relation is not part of the row
              order.customer
              // @ts-expect-error: nor is a computed field
              order.label
              return fact
            },
            updated: (order, { changedFields }) => {
              // @ts-expect-error: no such column
              changedFields?.includes('statuss')
              return changedFields?.includes('status') ? [{ ...fact, aggregateId: order.id }] : undefined
            },
          },
          OrderItem: { on: (item) => (item.quantity > 1 ? fact : undefined) },
        },
      }),
    )
    .$extends({ client: { $after: () => 2 } })
  await client.$transaction(async (tx) => {
    same<ReturnType<typeof tx.$before>, 1>(true)
    same<ReturnType<typeof tx.$after>, 2>(true)
    await tx.$emitFact(fact)
  })
  const { label } = await client.order.findFirstOrThrow()
  same<typeof label, string>(true)
  // Results are the client's own.
  const plainly = base.$extends(factlib({ models: { Order: { deleted: () => undefined } } }))
  same<Awaited<ReturnType<typeof createOn>>, Order>(true)
  const counted = await plainly.order.createMany({ data: [] })
  same<typeof counted, Prisma.BatchPayload>(true)
  function createOn() {
    return plainly.order.create({ data: { id: '1', customerId: '1' } })
  }
  // @ts-expect-error: no such model
  base.$extends(factlib({ models: { Ordr: { created: () => undefined } } }))
  // @ts-expect-error: no such operation
  base.$extends(factlib({ models: { Order: { inserted: () => undefined } } }))
  // @ts-expect-error: not a fact
  base.$extends(factlib({ models: { Order: { created: () => ({ aggregateType: 'order' }) } } }))
  // Made before its client is known: rows are records.
  const early = factlib({ models: { Order: { created: (row) => ({ ...fact, aggregateId: String(row['id']) }) } } })
  base.$extends(early)
}
