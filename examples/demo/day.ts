import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import * as Sentry from '@sentry/node'
// In your project: from 'factlib'
import type { EmitEvent } from '../../src/index.ts'
import { CardDeclined, type Order, type OrmName, type Shop } from './shop.ts'
import type { Tally } from './tally.ts'

/** A day in the three shops: what is bought, and how each transaction ends. */
export interface Day {
  /** These rounds (from 1) in all shops at once, one purchase a round and shop. */
  serve(from: number, to: number): Promise<void>
  /** Facts that were emitted, also by what was then rolled back. */
  emitted(name: OrmName): number
  close(): void
}

/** A new customer every so many rounds. */
const ROUNDS_OF_A_CUSTOMER = 5

/** What happens to an order, by its round. */
const ENDINGS: readonly (Pick<Order, 'gift' | 'cardDeclined'> & { readonly paid: boolean })[] = [
  { paid: true },
  { paid: false, cardDeclined: true },
  { paid: true, gift: 'in stock' },
  { paid: false, gift: 'out of stock' },
]

export function openDay(shops: readonly Shop[], tally: Tally): Day {
  const current = new AsyncLocalStorage<OrmName>()
  const emitted = new Map<OrmName, number>()
  const count = (message: unknown): void => {
    const { phase, count } = message as EmitEvent
    const name = current.getStore()
    if (phase === 'end' && name) emitted.set(name, (emitted.get(name) ?? 0) + count)
  }
  subscribe('factlib:emit', count)

  /** One request to the shop: a trace of its own, a transaction, and the facts that it committed. */
  async function request(name: string, work: () => Promise<string[]>): Promise<void> {
    const factIds = await Sentry.startNewTrace(() => Sentry.startSpan({ name, op: 'http.server' }, work))
    tally.committed(factIds, performance.now())
  }

  async function serveRound(shop: Shop, round: number): Promise<void> {
    const prefix = shop.name.toLowerCase()
    const customerId = `${prefix}-c${Math.ceil(round / ROUNDS_OF_A_CUSTOMER)}`
    if (round % ROUNDS_OF_A_CUSTOMER === 1) {
      await request('POST /customers', () => shop.register({ id: customerId, name: `Customer ${customerId}` }))
    }
    const { paid, ...ending } = ENDINGS[round % ENDINGS.length] ?? { paid: true }
    const order = { id: `${prefix}-${round}`, customerId, totalCents: 100 * round, ...ending }
    try {
      await request('POST /orders', () => shop.placeOrder(order))
    } catch (error) {
      if (error instanceof CardDeclined) return
      throw error
    }
    if (paid) await request('POST /payments', () => shop.pay(order.id))
  }

  return {
    async serve(from, to) {
      await Promise.all(
        shops.map((shop) =>
          current.run(shop.name, async () => {
            for (let round = from; round <= to; round++) await serveRound(shop, round)
          }),
        ),
      )
    },
    emitted: (name) => emitted.get(name) ?? 0,
    close: () => void unsubscribe('factlib:emit', count),
  }
}
