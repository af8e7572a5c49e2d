import { type Emittable, type EmitterOptions, emitWith } from '../../src/emitter.ts'
import { assertTransactionClient, bareTransactionClient, executorOf } from './transaction-client.ts'
import type { PrismaTransactionLike } from './types.ts'

/** `emitFact` with options of its own: for several prefixes or databases in one process. */
export interface PrismaEmitter {
  /**
   * Emits a fact, or several in one round trip, in the transaction of `tx`; resolves to the id, or the ids in order.
   * @throws InvalidFactError, NotInTransactionError, EmitError (all as rejections).
   */
  emitFact(tx: PrismaTransactionLike, fact: Emittable): Promise<string>
  emitFact(tx: PrismaTransactionLike, facts: readonly Emittable[]): Promise<string[]>
  emitFact(tx: PrismaTransactionLike, input: Emittable | readonly Emittable[]): Promise<string | string[]>
}

/**
 * Makes an `emitFact` with its own defaults; what is left out comes from `configure()` and `FACTLIB_PREFIX`. It needs
 * no closing.
 *
 * @example
 * ```ts
 * const shop = createEmitter({ prefix: 'shop' })
 * await prisma.$transaction(async (tx) => {
 *   const order = await tx.order.create({ data })
 *   await shop.emitFact(tx, { aggregateType: 'order', aggregateId: order.id, eventType: 'order.created', payload: order })
 * })
 * ```
 */
export function createEmitter(options: EmitterOptions = {}): PrismaEmitter {
  // A copy: what the caller changes later changes nothing here.
  const own = { ...options }
  function emitFact(tx: PrismaTransactionLike, fact: Emittable): Promise<string>
  function emitFact(tx: PrismaTransactionLike, facts: readonly Emittable[]): Promise<string[]>
  function emitFact(tx: PrismaTransactionLike, input: Emittable | readonly Emittable[]): Promise<string | string[]>
  async function emitFact(
    tx: PrismaTransactionLike,
    input: Emittable | readonly Emittable[],
  ): Promise<string | string[]> {
    assertTransactionClient(tx)
    return emitWith(executorOf(bareTransactionClient(tx)), input, own)
  }
  return { emitFact }
}

/**
 * Emits a fact, or several in one round trip, in the transaction of `tx`, with the process-wide defaults.
 *
 * Unlike `tx.$emitFact` it cannot hold the transaction open: always await it before the transaction's callback ends.
 *
 * @example
 * ```ts
 * await prisma.$transaction(async (tx) => {
 *   await tx.order.update({ where: { id }, data: { status: 'paid' } })
 *   await emitFact(tx, { aggregateType: 'order', aggregateId: id, eventType: 'order.paid' })
 * })
 * ```
 * @throws InvalidFactError, NotInTransactionError, EmitError (all as rejections).
 */
export const emitFact: PrismaEmitter['emitFact'] = createEmitter().emitFact
