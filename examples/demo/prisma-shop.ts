import { PrismaPg } from '@prisma/adapter-pg'
// In your project: from 'factlib/prisma', and from your own generated client
import { checkEmission, factlib } from '../../adapters/prisma/index.ts'
import { PrismaClient } from '../../prisma/generated-client/client.ts'
import { CardDeclined, facts, GIFT, type Order, OutOfStock, type Shop } from './shop.ts'

/** The shop on Prisma. `slot`: the relay's, which must be there before the first fact. */
export async function openPrismaShop(databaseUrl: string, slot: string): Promise<Shop> {
  const adapter = new PrismaPg({ connectionString: databaseUrl, max: 4 })
  const prisma = new PrismaClient({ adapter }).$extends(factlib())
  const check = await checkEmission(prisma, { slot })
  if (!check.ok) throw new Error(check.problems.map(({ message, remedy }) => `${message}: ${remedy}`).join('\n'))

  return {
    name: 'Prisma',

    async register(customer) {
      const [, factId] = await prisma.$transaction([
        prisma.customer.create({ data: customer }),
        prisma.$emitFact(facts.registered(customer)),
      ])
      return [factId]
    },

    async placeOrder(order) {
      return prisma.$transaction(async (tx) => {
        const { id, customerId, totalCents } = order
        await tx.order.create({ data: { id, customerId, totalCents } })
        const factIds = [await tx.$emitFact(facts.placed(order))]
        if (order.gift) {
          await tx.$executeRaw`SAVEPOINT gift`
          try {
            factIds.push(await addGift(tx, order))
          } catch (error) {
            if (!(error instanceof OutOfStock)) throw error
            await tx.$executeRaw`ROLLBACK TO SAVEPOINT gift`
          }
        }
        if (order.cardDeclined) throw new CardDeclined(order.id)
        return factIds
      })
    },

    async pay(orderId) {
      const [, factId] = await prisma.$transaction([
        prisma.order.update({ where: { id: orderId }, data: { status: 'paid' } }),
        prisma.$emitFact(facts.paid(orderId)),
      ])
      return [factId]
    },

    close: () => prisma.$disconnect(),
  }

  type Transaction = Parameters<Parameters<typeof prisma.$transaction>[0]>[0]

  async function addGift(tx: Transaction, order: Order): Promise<string> {
    await tx.orderItem.create({ data: { orderId: order.id, sku: GIFT } })
    const factId = await tx.$emitFact(facts.giftAdded(order))
    if (order.gift === 'out of stock') throw new OutOfStock(GIFT)
    return factId
  }
}
