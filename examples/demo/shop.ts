/** What the demo's three shops have in common: the same till, each on its own ORM, all on one database. */

export type OrmName = 'Prisma' | 'Drizzle' | 'Sequelize'

export interface Order {
  readonly id: string
  readonly customerId: string
  readonly totalCents: number
  /** A gift card is added inside a savepoint; out of stock: the savepoint is rolled back, the order stays. */
  readonly gift?: 'in stock' | 'out of stock'
  /** The card is refused after everything was written and emitted: the whole transaction is rolled back. */
  readonly cardDeclined?: true
}

/** Each method is one transaction, and resolves to the ids of the facts that it committed. */
export interface Shop {
  readonly name: OrmName
  register(customer: { readonly id: string; readonly name: string }): Promise<string[]>
  /** @throws CardDeclined; neither rows nor facts are left then */
  placeOrder(order: Order): Promise<string[]>
  pay(orderId: string): Promise<string[]>
  close(): Promise<void>
}

export class CardDeclined extends Error {
  override readonly name = 'CardDeclined'
}

export class OutOfStock extends Error {
  override readonly name = 'OutOfStock'
}

export const facts = {
  registered: (customer: { id: string; name: string }) => ({
    aggregateType: 'customer',
    aggregateId: customer.id,
    eventType: 'customer.registered',
    payload: { name: customer.name },
  }),
  placed: (order: Order) => ({
    aggregateType: 'order',
    aggregateId: order.id,
    eventType: 'order.placed',
    payload: { customerId: order.customerId, totalCents: order.totalCents },
  }),
  giftAdded: (order: Order) => ({
    aggregateType: 'order',
    aggregateId: order.id,
    eventType: 'order.gift_added',
    payload: { sku: GIFT },
  }),
  paid: (orderId: string) => ({ aggregateType: 'order', aggregateId: orderId, eventType: 'order.paid' }),
}

export const GIFT = 'gift-card'

/** The topics are `<prefix>.customer` and `<prefix>.order`. */
export const AGGREGATE_TYPES = ['customer', 'order'] as const

/** What a savepoint of a gift committed: nothing when it was rolled back because the gift is out of stock. */
export async function unlessOutOfStock(gift: Promise<string>): Promise<string[]> {
  try {
    return [await gift]
  } catch (error) {
    if (error instanceof OutOfStock) return []
    throw error
  }
}
