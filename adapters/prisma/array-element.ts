import { type PreparedEmission, runEmission } from '../../src/emitter.ts'
import { NotInTransactionError } from '../../src/errors.ts'
import { inTransaction, transactionOf } from './internals.ts'
import { foreignTransaction, scopeOf } from './model-transactions.ts'
import { executorOf, OUTSIDE, type SendingClient, send } from './transaction-client.ts'
import type { EmissionPromise } from './types.ts'

/** Also elements of another copy of the package (ESM beside CJS) are known by it. */
const ELEMENT = Symbol.for('factlib.prisma.element')

/**
 * `prisma.$emitFact(fact)`: lazy, as Prisma's own promises are, but only the array can run it. Awaited, or run by a
 * `$transaction` that does not know it, it rejects and nothing is sent: Prisma sends an array's statements only when
 * every element has asked for it.
 */
export class ArrayElement<Result extends string | string[]> implements EmissionPromise<Result> {
  readonly [Symbol.toStringTag] = 'PrismaPromise'
  readonly [ELEMENT]: { readonly root: SendingClient; readonly prepared: PreparedEmission<Result> }

  /** `root`: the client without extensions, whose connections the array has to run on. */
  constructor(root: SendingClient, prepared: PreparedEmission<Result>) {
    this[ELEMENT] = { root, prepared }
  }

  // biome-ignore lint/suspicious/noThenProperty: it is a promise, one that an await must reject.
  then<A = Result, B = never>(
    onFulfilled?: ((value: Result) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return Promise.reject<Result>(new NotInTransactionError(OUTSIDE)).then(onFulfilled, onRejected)
  }

  catch<B = never>(onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<Result | B> {
    return this.then(undefined, onRejected)
  }

  finally(onFinally?: (() => void) | null): Promise<Result> {
    return this.then().finally(onFinally)
  }
}

/** Whether `value` is an element of any copy of the package. */
export function isArrayElement(value: unknown): value is ArrayElement<string | string[]> {
  return typeof value === 'object' && value !== null && ELEMENT in value
}

/**
 * Runs `elements` in their order in one interactive transaction, for a client with models: between two statements the
 * facts of the first one have to be made. Options and errors are those of an array.
 */
export async function runInteractively(
  elements: readonly unknown[],
  root: SendingClient,
  transact: (body: (tx: SendingClient) => Promise<unknown[]>) => Promise<unknown>,
  asArray: (elements: unknown[]) => Promise<unknown>,
): Promise<unknown> {
  for (const element of elements) {
    if (isArrayElement(element) && element[ELEMENT].root !== root) throw new NotInTransactionError(OUTSIDE)
  }
  // What is no promise of Prisma's: it says so itself.
  const isForeign = (element: unknown) =>
    (element as PrismaPromiseLike | null)?.[Symbol.toStringTag] !== 'PrismaPromise'
  if (elements.length === 0 || elements.some(isForeign)) return asArray(elements.filter(isForeign))
  return transact(async (tx) => {
    const transaction = await transactionOf(tx)
    const bare = scopeOf(transaction.id)?.bare
    if (bare === undefined) throw foreignTransaction()
    const results: unknown[] = []
    for (const element of elements) {
      results.push(
        isArrayElement(element)
          ? await runEmission(executorOf(bare), element[ELEMENT].prepared)
          : await inTransaction(element as PromiseLike<unknown>, transaction),
      )
    }
    return results
  })
}

interface PrismaPromiseLike {
  readonly [Symbol.toStringTag]?: unknown
}

/**
 * From this many bytes of facts on, the array begins with a statement of no effect. Prisma 7 keeps the plans of the last
 * 1,000 arrays, with all parameters of their raw statements, unless the first element is a raw one: without it a process
 * that emits 1 MB facts in arrays would keep gigabytes.
 */
const PLAN_CACHE_LIMIT_BYTES = 16_384

/**
 * Runs `elements` as one array transaction, through `run` (Prisma's own `$transaction` with the caller's options): the
 * facts become Prisma's own raw statements in their places, and their results become the ids. Errors are Prisma's own.
 */
export async function runArray(
  elements: readonly unknown[],
  root: SendingClient,
  run: (elements: unknown[]) => Promise<unknown[]>,
): Promise<unknown[]> {
  for (const element of elements) {
    // The statement of another client would run on that client's connection, and outlive this transaction's rollback.
    if (isArrayElement(element) && element[ELEMENT].root !== root) throw new NotInTransactionError(OUTSIDE)
  }
  const emissions = elements.filter(isArrayElement).map((element) => element[ELEMENT].prepared)
  const statements = emissions.flatMap(({ statement }) => statement ?? [])
  // An emission of no facts has no statement: its place is left out of Prisma's array.
  const places = elements.flatMap((element, place) =>
    isArrayElement(element) && element[ELEMENT].prepared.statement === undefined ? [] : place,
  )
  const sent = places.map((place) => {
    const element = elements[place]
    return isArrayElement(element) ? send(root, element[ELEMENT].prepared.statement!) : element
  })
  const bytes = statements.flatMap(({ values }) => values).reduce((sum, value) => sum + value.length, 0)
  const lead = bytes > PLAN_CACHE_LIMIT_BYTES ? [send(root, NO_EFFECT)] : []

  const outcome = run([...lead, ...sent])
  // Told of, and timed, as every other emission; their failure is the array's own, which is thrown below.
  const told = emissions.map((prepared) => runEmission({ execute: () => outcome }, prepared).catch(() => undefined))
  try {
    const results = (await outcome).slice(lead.length)
    const all: unknown[] = elements.map((element) =>
      isArrayElement(element) ? element[ELEMENT].prepared.result : undefined,
    )
    for (const [index, place] of places.entries()) all[place] ??= results[index]
    return all
  } finally {
    await Promise.all(told)
  }
}

const NO_EFFECT = { strings: ['SELECT 1'], values: [], text: 'SELECT 1' }
