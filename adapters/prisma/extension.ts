import { type Emittable, type EmitterOptions, prepareEmission, runEmission } from '../../src/emitter.ts'
import { NotInTransactionError } from '../../src/errors.ts'
import { ArrayElement, isArrayElement, runArray } from './array-element.ts'
import {
  bareTransactionClient,
  executorOf,
  extensionsUnder,
  isTransactionClient,
  rootClient,
  type SendingClient,
} from './transaction-client.ts'
import type { FactlibExtension, UnknownClient } from './types.ts'
import { isSentEmission, keep, untilSettled } from './unawaited.ts'

/** Options of `factlib()`: the emitter's. What is left out comes from `configure()` and `FACTLIB_PREFIX`. */
export interface FactlibOptions extends EmitterOptions {}

type Transact = (this: UnknownClient, input: unknown, ...options: unknown[]) => Promise<unknown>

interface ExtendableClient extends UnknownClient {
  $extends(extension: object): ReturnType<FactlibExtension>
  readonly $transaction: Transact
}

const TWO_TRANSACTIONS =
  'an array transaction is not part of an interactive one: use await tx.$emitFact(fact) beside it, or ' +
  'prisma.$emitFact(fact) in an array of the client itself'

/**
 * A Prisma extension that adds `$emitFact` to the client and to its transactions.
 *
 * Facts are sent in the caller's transaction on the caller's connection, whatever other extensions do. Beside
 * `$emitFact` it wraps `$transaction`, whose types, options and errors stay Prisma's own, for two things: the facts of
 * an array become statements of that array, and an interactive transaction does not end before the facts that were
 * emitted in it without `await` have been taken (when one of those is refused, the transaction rolls back).
 *
 * @example
 * ```ts
 * const prisma = new PrismaClient({ adapter }).$extends(factlib({ prefix: 'shop' }))
 *
 * await prisma.$transaction(async (tx) => {
 *   const order = await tx.order.create({ data })
 *   await tx.$emitFact({ aggregateType: 'order', aggregateId: order.id, eventType: 'order.created', payload: order })
 * })
 *
 * const [order, factId] = await prisma.$transaction([
 *   prisma.order.update({ where: { id }, data: { status: 'paid' } }),
 *   prisma.$emitFact({ aggregateType: 'order', aggregateId: id, eventType: 'order.paid' }),
 * ])
 * ```
 */
export function factlib(options: FactlibOptions = {}): FactlibExtension {
  // A copy: what the caller changes later changes nothing here.
  const own = { ...options }
  return (extended) => {
    const parent = extended as ExtendableClient
    const depth = extensionsUnder(parent)

    // Not an arrow function: Prisma calls it on the client, or on the transaction's client, that the caller used.
    function $emitFact(
      this: UnknownClient | undefined,
      input: Emittable | readonly Emittable[],
    ): Promise<string | string[]> {
      if (typeof this !== 'object' || this === null) {
        throw new TypeError('$emitFact has lost its client: call it as tx.$emitFact(fact) or prisma.$emitFact(fact)')
      }
      if (!isTransactionClient(this)) return new ArrayElement(rootClient(this), prepareEmission(input, own))
      return keep(this, emit(this, input))
    }

    async function emit(tx: SendingClient, input: Emittable | readonly Emittable[]): Promise<string | string[]> {
      return runEmission(executorOf(bareTransactionClient(tx, depth)), prepareEmission(input, own))
    }

    function $transaction(this: UnknownClient, input: unknown, ...rest: unknown[]): Promise<unknown> {
      // As `super.$transaction`: the method of the client below, on this client, so that `tx` has all its extensions.
      const transact = (what: unknown) => parent.$transaction.call(this, what, ...rest)
      if (typeof input === 'function') {
        return transact((tx: UnknownClient, ...more: unknown[]) => untilSettled(tx, () => input(tx, ...more)))
      }
      if (!Array.isArray(input)) return transact(input)
      const emits = input.some(isArrayElement)
      // Prisma runs an array on another connection than `tx`, also for tx.$transaction: they would not die together.
      if (input.some(isSentEmission) || (emits && isTransactionClient(this))) {
        return Promise.reject(new NotInTransactionError(TWO_TRANSACTIONS))
      }
      if (!emits) return transact(input)
      return runArray(input, rootClient(this), (elements) => transact(elements) as Promise<unknown[]>)
    }

    return parent.$extends({ name: 'factlib', client: { $emitFact, $transaction } })
  }
}
