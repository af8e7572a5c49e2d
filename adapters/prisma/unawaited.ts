import type { EmissionPromise, UnknownClient } from './types.ts'

/**
 * Emissions that nobody waits for. `tx.$emitFact(fact)` without `await` must neither be left behind by the commit, nor
 * overtaken by a rollback, nor fail in silence: the transaction waits for it, and fails with it.
 */

/** The emissions of one interactive transaction that have not succeeded, or not yet. */
type Unsettled = Set<Emission<unknown>>

const transactions = new WeakMap<UnknownClient, Unsettled>()

/** A promise that knows whether anybody looked at it: `await` calls the `then` of everything but native promises. */
class Emission<Result> implements EmissionPromise<Result> {
  // Prisma's type, because `$emitFact` is one method; but not its name: an array must not take what is already sent.
  declare readonly [Symbol.toStringTag]: 'PrismaPromise'
  readonly #promise: Promise<Result>
  #awaited = false

  constructor(promise: Promise<Result>) {
    this.#promise = promise
  }

  get awaited(): boolean {
    return this.#awaited
  }

  /** To look at it without having looked at it. */
  get outcome(): Promise<Result> {
    return this.#promise
  }

  // biome-ignore lint/suspicious/noThenProperty: it is a promise.
  then<A = Result, B = never>(
    onFulfilled?: ((value: Result) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#awaited = true
    return this.#promise.then(onFulfilled, onRejected)
  }

  catch<B = never>(onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<Result | B> {
    return this.then(undefined, onRejected)
  }

  finally(onFinally?: (() => void) | null): Promise<Result> {
    return this.then().finally(onFinally)
  }
}

/** Whether `value` is what `tx.$emitFact` gave: already sent, and so never an element of an array. */
export function isSentEmission(value: unknown): boolean {
  return value instanceof Emission
}

/** Puts an emission under the care of its transaction, where that was started through the extension's `$transaction`. */
export function keep<Result>(tx: UnknownClient, promise: Promise<Result>): Promise<Result> {
  const unsettled = transactions.get(tx)
  // Without care it stays a plain promise, whose rejection Node itself reports when nobody awaits it.
  if (unsettled === undefined) return promise
  const emission = new Emission(promise)
  unsettled.add(emission)
  promise.then(
    () => unsettled.delete(emission),
    () => undefined,
  )
  return emission
}

/**
 * Runs the body of an interactive transaction, which ends only after every fact that was emitted in it has been taken.
 * @throws what the body throws; else the first error of an emission that nobody awaited.
 */
export async function untilSettled<Result>(tx: UnknownClient, body: () => Result | Promise<Result>): Promise<Result> {
  const unsettled: Unsettled = new Set()
  transactions.set(tx, unsettled)
  try {
    const result = await body()
    for (const emission of unsettled) {
      await Promise.allSettled([emission.outcome])
      if (!emission.awaited) await emission.outcome
    }
    return result
  } finally {
    transactions.delete(tx)
    await Promise.allSettled([...unsettled].map(({ outcome }) => outcome))
  }
}
