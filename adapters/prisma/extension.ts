import { type Emittable, type EmitterOptions, prepareEmission, runEmission } from '../../src/emitter.ts'
import { ConfigurationError, NotInTransactionError } from '../../src/errors.ts'
import { type ModelFacts, readModelFacts } from '../models.ts'
import { ArrayElement, isArrayElement, runArray, runInteractively } from './array-element.ts'
import { type QueryCall, transactionOf } from './internals.ts'
import { inScope } from './model-transactions.ts'
import { type ModelWrites, runWrite, WITHOUT_LIMITS, WRITES } from './model-writes.ts'
import { readSchema } from './schema-model.ts'
import {
  bareTransactionClient,
  executorOf,
  extensionsUnder,
  isTransactionClient,
  rootClient,
  type SendingClient,
} from './transaction-client.ts'
import type { FactlibExtension, RowsOf, UnknownClient } from './types.ts'
import { isSentEmission, keep, untilSettled } from './unawaited.ts'

/** Options of `factlib()`: the emitter's, and `models`. What is left out comes from `configure()` and `FACTLIB_PREFIX`. */
export interface FactlibOptions<Client = unknown> extends EmitterOptions {
  /**
   * Which facts the writes of a model produce: `created`, `updated`, `deleted`, or `on` for what has none of its own.
   * Each write of such a model then runs in a transaction with its facts, in the caller's or in one of its own. Default: none.
   */
  readonly models?: ModelFacts<RowsOf<Client>> | undefined
}

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
export function factlib<Client = unknown>(options: FactlibOptions<Client> = {}): FactlibExtension<Client> {
  const { models, ...given } = options
  // A copy: what the caller changes later changes nothing here.
  const own = { ...given }
  const facts = models === undefined ? undefined : readModelFacts(models, ['created', 'updated', 'deleted'])
  return (extended) => {
    const parent = extended as ExtendableClient
    const depth = extensionsUnder(parent)
    const writes = facts === undefined ? undefined : modelWrites(parent, facts, own)

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
      const transact = (what: unknown, ...options: unknown[]) => parent.$transaction.call(this, what, ...options)
      if (typeof input === 'function') {
        return transact(
          async (tx: UnknownClient, ...more: unknown[]) => {
            const body = () => untilSettled(tx, () => input(tx, ...more))
            if (writes === undefined) return body()
            const { id } = await transactionOf(tx)
            return inScope(id, bareTransactionClient(tx as SendingClient, depth), body)
          },
          ...rest,
        )
      }
      if (!Array.isArray(input)) return transact(input, ...rest)
      const emits = input.some(isArrayElement)
      // Prisma runs an array on another connection than `tx`, also for tx.$transaction: they would not die together.
      if (input.some(isSentEmission) || (emits && isTransactionClient(this))) {
        return Promise.reject(new NotInTransactionError(TWO_TRANSACTIONS))
      }
      const root = rootClient(this)
      if (writes !== undefined && !isTransactionClient(this)) {
        const options = { ...WITHOUT_LIMITS, ...(rest[0] as object | undefined) }
        return runInteractively(
          input,
          root,
          // Not Prisma's own: this one waits for the facts.
          (body) => $transaction.call(this, body, options),
          (elements) => transact(elements, ...rest),
        )
      }
      if (!emits) return transact(input, ...rest)
      return runArray(input, root, (elements) => transact(elements, ...rest) as Promise<unknown[]>)
    }

    if (writes === undefined) return parent.$extends({ name: 'factlib', client: { $emitFact, $transaction } })
    const run = (call: QueryCall) => runWrite(writes, call)
    return parent.$extends({
      name: 'factlib',
      client: { $emitFact: Object.assign($emitFact, { [WITH_MODELS]: true }), $transaction },
      query: { $allModels: Object.fromEntries(WRITES.map((write) => [write, run])) },
    })
  }
}

/** On `$emitFact` of a client that has models already. */
const WITH_MODELS = Symbol.for('factlib.prisma.models')

/** @throws ConfigurationError when a model is not in the client's schema, or the client has mappers already. */
function modelWrites(parent: UnknownClient, facts: ModelWrites['facts'], options: EmitterOptions): ModelWrites {
  const root = rootClient(parent)
  const schema = readSchema(root)
  const problems = facts.models.flatMap((model) =>
    schema.has(model) ? [] : `models.${model} is no model of this client: it has ${[...schema.keys()].join(', ')}`,
  )
  const { $emitFact: before } = parent as { $emitFact?: { [WITH_MODELS]?: boolean } }
  if (before?.[WITH_MODELS]) problems.push('models were given to this client before: give all of them to one factlib()')
  if (problems.length > 0) throw new ConfigurationError(problems)
  return { root, schema, facts, options }
}
