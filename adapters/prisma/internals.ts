import { UnseenWriteError } from '../../src/errors.ts'
import type { SendingClient } from './transaction-client.ts'
import type { UnknownClient } from './types.ts'

/**
 * The parts of Prisma that `models` needs and that are no public contract. Everything is looked at before it is used; a
 * Prisma where it is missing or different is refused with an error, never guessed at. The tests run on the oldest, a
 * middle and the newest supported version.
 */

/** The transaction that Prisma hands from call to call: `itx` of `$transaction(async …)`, `batch` of `$transaction([…])`. */
export interface PrismaTransaction {
  readonly kind: string
  readonly id?: unknown
}

/** What Prisma carries through the query extensions of one call, `__internalParams`; ours to copy, not to change. */
export interface CallParams {
  readonly transaction?: PrismaTransaction | undefined
  readonly dataPath?: readonly string[] | undefined
  readonly argsMapper?: ((args: CallArgs) => CallArgs) | undefined
  readonly unpacker?: ((data: unknown) => unknown) | undefined
}

/** Arguments of a model's method, as the caller wrote them. */
export interface CallArgs {
  readonly [name: string]: unknown
}

/** What a query extension is called with. */
export interface QueryCall {
  readonly model: string
  readonly operation: string
  readonly args: CallArgs
  readonly query: (args: CallArgs, params?: object) => PromiseLike<unknown>
  readonly __internalParams?: CallParams
}

const UNKNOWN_PRISMA =
  'models does not know this version of Prisma: nothing was written. Use a supported version, or emit with tx.$emitFact'

export function unknownPrisma(): UnseenWriteError {
  return new UnseenWriteError(UNKNOWN_PRISMA)
}

/** The transaction that `tx` stands for. */
export async function transactionOf(tx: UnknownClient): Promise<PrismaTransaction & { readonly id: string }> {
  const { _createPrismaPromise: create } = tx as {
    _createPrismaPromise?: (callback: (transaction: unknown) => Promise<unknown>) => PromiseLike<unknown>
  }
  if (typeof create !== 'function') throw unknownPrisma()
  const transaction = (await create.call(tx, async (given) => given)) as PrismaTransaction | undefined
  if (transaction?.kind !== 'itx' || typeof transaction.id !== 'string') throw unknownPrisma()
  return transaction as PrismaTransaction & { readonly id: string }
}

/** Runs a promise that Prisma made, and that has not begun, in this transaction. */
export function inTransaction<Result>(
  promise: PromiseLike<Result>,
  transaction: PrismaTransaction,
): PromiseLike<Result> {
  const lazy = promise as { requestTransaction?: (transaction: PrismaTransaction) => PromiseLike<Result> }
  if (typeof lazy.requestTransaction !== 'function') throw unknownPrisma()
  return lazy.requestTransaction(transaction)
}

/** A model's methods of a client, in the transaction: without extensions, so that nothing changes what is asked. */
export function modelMethod(
  root: UnknownClient,
  transaction: PrismaTransaction,
  model: string,
  method: 'findMany' | 'findUnique',
): (args: CallArgs) => Promise<unknown> {
  const delegate = (root as unknown as Record<string, Record<string, unknown> | undefined>)[delegateName(model)]
  const call = delegate?.[method]
  if (typeof call !== 'function') throw unknownPrisma()
  return async (args) => inTransaction(call.call(delegate, args) as PromiseLike<unknown>, transaction)
}

/** `prisma.orderItem` of `OrderItem`. */
export function delegateName(model: string): string {
  return model.slice(0, 1).toLowerCase() + model.slice(1)
}

/** A client whose raw queries return rows. */
export interface AskingClient extends SendingClient {
  readonly $queryRawUnsafe: (query: string, ...values: unknown[]) => PromiseLike<unknown>
}

/** What is left out of this model's rows by the client's own `omit` option. */
export function globalOmit(root: UnknownClient, model: string): Readonly<Record<string, unknown>> {
  const { _globalOmit: omit } = root as { _globalOmit?: Record<string, Record<string, unknown> | undefined> }
  return omit?.[delegateName(model)] ?? {}
}

/** The text of the user's schema, and the names that Prisma gives to tables and columns. */
export function schemaOf(root: UnknownClient): { readonly text: string; readonly models: RuntimeModels } {
  const { _engineConfig: config, _runtimeDataModel: data } = root as {
    _engineConfig?: { inlineSchema?: unknown }
    _runtimeDataModel?: { models?: RuntimeModels }
  }
  if (typeof config?.inlineSchema !== 'string' || typeof data?.models !== 'object') throw unknownPrisma()
  return { text: config.inlineSchema, models: data.models }
}

export interface RuntimeModels {
  readonly [model: string]: {
    readonly dbName?: string | null
    readonly fields: readonly {
      readonly name: string
      /** `scalar`, `enum`, `object` (a relation) or `unsupported`. */
      readonly kind: string
      readonly type: string
      readonly relationName?: string | null
      readonly dbName?: string | null
    }[]
  }
}
