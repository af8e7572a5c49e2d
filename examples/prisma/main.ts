import { PrismaPg } from '@prisma/adapter-pg'
// In your project: from 'factlib/prisma'
import { checkEmission, factlib } from '../../adapters/prisma/index.ts'
// In your project: from where `prisma generate` puts the client
import { PrismaClient } from '../../prisma/generated-client/client.ts'

const adapter = new PrismaPg({ connectionString: process.env['DATABASE_URL'] })
const prisma = new PrismaClient({ adapter }).$extends(factlib({ prefix: 'shop' }))

async function placeOrder(id: string, customerId: string, totalCents: number): Promise<string> {
  return prisma.$transaction(async (tx) => {
    const order = await tx.order.create({ data: { id, customerId, totalCents } })
    const factId = await tx.$emitFact({
      aggregateType: 'order',
      aggregateId: order.id,
      eventType: 'order.placed',
      payload: order,
    })
    if (totalCents < 0) throw new Error('an order costs something')
    return factId
  })
}

async function payOrder(id: string): Promise<string> {
  const [, factId] = await prisma.$transaction([
    prisma.order.update({ where: { id }, data: { status: 'paid' } }),
    prisma.$emitFact({ aggregateType: 'order', aggregateId: id, eventType: 'order.paid' }),
  ])
  return factId
}

try {
  const check = await checkEmission(prisma)
  for (const { message, remedy } of check.problems) console.warn(`facts would be lost: ${message}; ${remedy}`)
  const customer = await prisma.customer.create({ data: { id: `prisma-${Date.now()}`, name: 'Ada' } })
  const id = `${customer.id}-order`
  console.log(`placed ${id}: row and fact ${await placeOrder(id, customer.id, 1200)}`)
  console.log(`paid ${id}: row and fact ${await payOrder(id)}`)
  await placeOrder(`${id}-refused`, customer.id, -1).catch((error: Error) =>
    console.log(`refused: ${error.message}; neither row nor fact`),
  )
} finally {
  await prisma.$disconnect()
}
