import { type EmitterOptions, emitWith } from '../../src/emitter.ts'
import { UnseenWriteError } from '../../src/errors.ts'
import type { ModelFactsReader, ModelOperation } from '../models.ts'
import {
  type CallArgs,
  type CallParams,
  globalOmit,
  inTransaction,
  modelMethod,
  type PrismaTransaction,
  type QueryCall,
  transactionOf,
} from './internals.ts'
import { lockRows, type RowsToDelete } from './locked-rows.ts'
import { foreignTransaction, inScope, scopeOf, type TransactionScope } from './model-transactions.ts'
import { refuseNestedWrites } from './nested-writes.ts'
import type { SchemaModel, SchemaModels } from './schema-model.ts'
import { executorOf, type SendingClient, send } from './transaction-client.ts'
import { pick, widen } from './visible-rows.ts'

/**
 * A write on a model with mappers: in a transaction, seen row by row, its facts right after it.
 *
 * The caller's own call goes on through the extensions that come after factlib, with its arguments as they are; only the
 * innermost step, where Prisma reads the call, gets other ones (all columns; rows instead of a count), and what it gives
 * is brought back to what the caller asked for.
 */

/** What all writes of one extended client share. */
export interface ModelWrites {
  readonly root: SendingClient
  readonly schema: SchemaModels
  readonly facts: ModelFactsReader
  readonly options: EmitterOptions
}

/** The methods of a model that write. */
export const WRITES = [
  'create',
  'createMany',
  'createManyAndReturn',
  'update',
  'updateMany',
  'updateManyAndReturn',
  'upsert',
  'delete',
  'deleteMany',
] as const

type Write = (typeof WRITES)[number]

const OPERATION_OF: Readonly<Record<Exclude<Write, 'upsert'>, ModelOperation>> = {
  create: 'created',
  createMany: 'created',
  createManyAndReturn: 'created',
  update: 'updated',
  updateMany: 'updated',
  updateManyAndReturn: 'updated',
  delete: 'deleted',
  deleteMany: 'deleted',
}

/** Prisma's own limits are for transactions that a caller holds open; a single call has none, and keeps none. */
export const WITHOUT_LIMITS = { maxWait: 2_147_483_647, timeout: 2_147_483_647 }

/** How often an upsert is tried when another transaction creates or deletes its row at the same moment. */
const UPSERT_ATTEMPTS = 5

/**
 * Runs one write, as Prisma's query extension calls it.
 * @throws UnseenWriteError, what a mapper throws, InvalidFactError, EmitError, Prisma's own errors.
 */
export async function runWrite(writes: ModelWrites, call: QueryCall): Promise<unknown> {
  const { facts, schema } = writes
  const { model, operation, args, query, __internalParams: params } = call
  refuseNestedWrites(schema, facts, model, operation, args)
  const mapped =
    operation === 'upsert'
      ? facts.maps(model, 'created') || facts.maps(model, 'updated')
      : facts.maps(model, OPERATION_OF[operation as Exclude<Write, 'upsert'>])
  if (!mapped) return query(args)
  const target = schema.get(model)
  if (params === undefined || target === undefined) throw foreignTransaction()

  const { transaction } = params
  if (transaction === undefined) return inOwnTransaction(writes, call, params, target)
  const scope = transaction.kind === 'itx' ? scopeOf(transaction.id) : undefined
  if (scope === undefined) {
    // One that has ended: Prisma's own error says so.
    if (transaction.kind === 'itx') await inTransaction(send(writes.root, NO_EFFECT), transaction)
    throw foreignTransaction()
  }
  return scope.track(new OneWrite(writes, call, params, target, transaction, scope).run())
}

async function inOwnTransaction(
  writes: ModelWrites,
  call: QueryCall,
  params: CallParams,
  target: SchemaModel,
): Promise<unknown> {
  const { $transaction } = writes.root as unknown as {
    $transaction(body: (tx: SendingClient) => Promise<unknown>, options: object): Promise<unknown>
  }
  for (let attempt = 1; ; attempt++) {
    try {
      return await $transaction.call(
        writes.root,
        async (tx) => {
          const transaction = await transactionOf(tx)
          return inScope(transaction.id, tx, (scope) =>
            new OneWrite(writes, call, params, target, transaction, scope).run(),
          )
        },
        WITHOUT_LIMITS,
      )
    } catch (error) {
      // Created by another transaction between the look and the write: now it can be seen.
      if (call.operation !== 'upsert' || codeOf(error) !== 'P2002' || attempt === UPSERT_ATTEMPTS) throw error
    }
  }
}

class OneWrite {
  readonly #writes: ModelWrites
  readonly #call: QueryCall
  readonly #params: CallParams
  readonly #target: SchemaModel
  readonly #transaction: PrismaTransaction
  readonly #scope: TransactionScope

  constructor(
    writes: ModelWrites,
    call: QueryCall,
    params: CallParams,
    target: SchemaModel,
    transaction: PrismaTransaction,
    scope: TransactionScope,
  ) {
    this.#writes = writes
    this.#call = call
    this.#params = params
    this.#target = target
    this.#transaction = transaction
    this.#scope = scope
  }

  async run(): Promise<unknown> {
    const { operation } = this.#call
    if (operation === 'upsert') return this.#upsert()
    const change = OPERATION_OF[operation as Exclude<Write, 'upsert'>]
    if (operation === 'deleteMany') {
      const rows = await lockRows(this.#writes.root, this.#scope.bare, this.#transaction, this.#target, this.#call.args)
      return this.#write({ operation: change, action: operation, rows })
    }
    const action = { createMany: 'createManyAndReturn', updateMany: 'updateManyAndReturn' }[operation] ?? operation
    return this.#write({ operation: change, action })
  }

  /**
   * Looks whether the row is there, and then lets Prisma do that half of the upsert only: what it did is known then, and
   * a row that came or went in between is an error of the database, not a wrong fact.
   */
  async #upsert(): Promise<unknown> {
    const { root } = this.#writes
    const { where } = this.#call.args
    const [column] = this.#target.columns.keys()
    const look = modelMethod(root, this.#transaction, this.#target.name, 'findUnique')
    for (let attempt = 1; ; attempt++) {
      const isThere = (await look({ where, select: { [column!]: true } })) !== null
      const [operation, action] = isThere ? (['updated', 'update'] as const) : (['created', 'create'] as const)
      try {
        return await this.#write({ operation, action })
      } catch (error) {
        // Deleted by another transaction between the look and the write. (P2025 aborts no transaction.)
        if (!isThere || codeOf(error) !== 'P2025' || attempt === UPSERT_ATTEMPTS) throw error
        if ((await look({ where, select: { [column!]: true } })) !== null) throw error
      }
    }
  }

  async #write(how: {
    readonly operation: ModelOperation
    readonly action: string
    readonly rows?: RowsToDelete
  }): Promise<unknown> {
    const { query, args } = this.#call
    const seen = new SeenWrite(this.#writes, this.#call, this.#params, this.#target, this.#transaction, how)
    const result = await query(args, seen.params).then(
      (value) => value,
      (error: unknown) => {
        // The row is written, and what comes after it failed.
        if (seen.rows !== undefined) this.#scope.fail(error)
        throw error
      },
    )
    try {
      if (seen.rows === undefined) throw new UnseenWriteError(ANSWERED_ELSEWHERE)
      const { model } = this.#call
      const { facts, options } = this.#writes
      const change = { operation: how.operation, changedFields: seen.changedFields }
      const made = facts.factsOf(model, seen.rows, change)
      if (made.length > 0) await emitWith(executorOf(this.#scope.bare), made, options)
    } catch (error) {
      this.#scope.fail(error)
      throw error
    }
    return result
  }
}

/** The call as Prisma reads it at its innermost step, and the rows that it gave. */
class SeenWrite {
  /** The full rows; undefined as long as the write has not been run. */
  rows: readonly object[] | undefined
  changedFields: readonly string[] | undefined
  readonly params: CallParams

  constructor(
    { root, schema, facts }: ModelWrites,
    { model, operation }: QueryCall,
    given: CallParams,
    target: SchemaModel,
    transaction: PrismaTransaction,
    how: { readonly operation: ModelOperation; readonly action: string; readonly rows?: RowsToDelete },
  ) {
    const { dataPath = [], unpacker = (data: unknown) => data, argsMapper = (args: CallArgs) => args } = given
    let hide = (row: object): object => row
    const params = {
      ...given,
      argsMapper: (original: CallArgs): CallArgs => {
        const args = reshape(argsMapper(original), operation, how.action)
        // What an extension after factlib has put in is looked at, too.
        refuseNestedWrites(schema, facts, model, operation, args)
        if (how.operation === 'updated') this.changedFields = changedFields(args['data'], target)
        if (how.rows !== undefined) return { where: { AND: [args['where'] ?? {}, how.rows.where] } }
        const wide = widen(args, target, globalOmit(root, model))
        hide = wide.hide
        return wide.args
      },
      unpacker: (data: unknown): unknown => {
        if (how.rows !== undefined) {
          if (countOf(data) !== how.rows.rows.length) throw new UnseenWriteError(OTHER_ROWS)
          this.rows = how.rows.rows
          return unpacker(data)
        }
        const rows = (Array.isArray(data) ? data : [data]) as readonly object[]
        this.rows = rows.map((row) => pick(row, target))
        if (operation === 'createMany' || operation === 'updateMany') return unpacker({ count: rows.length })
        const visible = rows.map(hide)
        return unpacker(along(Array.isArray(data) ? visible : visible[0], dataPath))
      },
    }
    // Extensions read `action` as the operation's name; only Prisma itself reads `dataPath`, and `action` after it.
    let innermost = false
    Object.defineProperties(params, {
      dataPath: {
        enumerable: true,
        get: () => {
          innermost = true
          return []
        },
      },
      action: { enumerable: true, get: () => (innermost ? how.action : operation) },
      // An extension that moves the call into another transaction would part row and fact.
      transaction: {
        enumerable: true,
        get: () => transaction,
        set: (other: PrismaTransaction | undefined) => {
          if (other?.kind !== transaction.kind || other.id !== transaction.id) throw foreignTransaction()
        },
      },
    })
    this.params = params
  }
}

const ANSWERED_ELSEWHERE =
  'a write on a model with mappers was answered by another extension, and not run in the transaction of its facts; the ' +
  'transaction was rolled back. Give such an extension the model without mappers, and emit with tx.$emitFact'

const OTHER_ROWS =
  'deleteMany did not delete exactly the rows that were read and locked before it: an extension after factlib changes ' +
  'its where. Make factlib the last extension'

const NO_EFFECT = { strings: ['SELECT 1'], values: [], text: 'SELECT 1' }

/** The arguments of an upsert for the half that is to be done. */
function reshape(args: CallArgs, operation: string, action: string): CallArgs {
  if (operation !== 'upsert') return args
  const { where, create, update, ...rest } = args
  return action === 'create' ? { ...rest, data: create } : { ...rest, where, data: update }
}

/** The fields that the update names; those of a foreign key also through its relation. */
function changedFields(data: unknown, { columns, relations }: SchemaModel): string[] {
  if (typeof data !== 'object' || data === null) return []
  const named = Object.entries(data).flatMap(([name, value]) =>
    value === undefined ? [] : columns.has(name) ? [name] : (relations.get(name)?.fields ?? []),
  )
  return [...new Set(named)]
}

/** What `prisma.order.update(…).customer()` has asked for: each step is `select` or `include`, and a name. */
function along(value: unknown, dataPath: readonly string[]): unknown {
  return dataPath
    .filter((_, index) => index % 2 === 1)
    .reduce<unknown>((at, name) => (at as Record<string, unknown> | null | undefined)?.[name], value)
}

function countOf(data: unknown): unknown {
  return (data as { count?: unknown } | null)?.count
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code
}
