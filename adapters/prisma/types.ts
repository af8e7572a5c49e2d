import type { Emittable } from '../../src/emitter.ts'

/**
 * The parts of Prisma that the adapter needs, by their shape: `@prisma/client` is never imported, neither at run time
 * nor by the types. A type test holds them against the real client.
 */

/** The client of an interactive transaction, as `prisma.$transaction(async (tx) => …)` hands it out (`Prisma.TransactionClient`). */
export interface PrismaTransactionLike {
  $executeRaw(query: TemplateStringsArray, ...values: unknown[]): PromiseLike<number>
  /** Prisma takes `$connect` away from a transaction's client: this is how the two are told apart, by the compiler too. */
  readonly $connect?: never
}

/** A `PrismaClient`, extended or not. */
export interface PrismaClientLike {
  $connect(): Promise<void>
  $queryRawUnsafe(query: string, ...values: unknown[]): PromiseLike<unknown>
}

/** Anything that can be asked a question: a client, or a transaction's. */
export interface PrismaQueryLike {
  $queryRawUnsafe(query: string, ...values: unknown[]): PromiseLike<unknown>
}

/** What `$emitFact` gives: a promise, and on the client itself an element for `prisma.$transaction([…])`. */
export interface EmissionPromise<Result> extends Promise<Result> {
  readonly [Symbol.toStringTag]: 'PrismaPromise'
}

/** `$emitFact` of an extended client and of its transactions. */
export interface EmitFactMethod {
  /**
   * Emits one fact; resolves to its id.
   *
   * - `tx.$emitFact(fact)` in an interactive transaction: sent at once, also before an `await`.
   * - `prisma.$emitFact(fact)`: an element of `prisma.$transaction([…])`. Nothing is sent unless the array runs; awaited
   *   alone it rejects with `NotInTransactionError`.
   *
   * An invalid fact is an `InvalidFactError` before anything is sent: in a transaction the promise rejects; on the
   * client the call itself throws, so that no array with a hole in it is ever started.
   */
  (fact: Emittable): EmissionPromise<string>
  /** Emits all of them in one round trip, in this order; resolves to their ids, in the same order. */
  (facts: readonly Emittable[]): EmissionPromise<string[]>
  (input: Emittable | readonly Emittable[]): EmissionPromise<string | string[]>
}

/** What `factlib()` returns, in the shape that `$extends` reads an extension's types from. */
export type FactlibExtension<Client = unknown> = (client: Client) => {
  // biome-ignore lint/complexity/noBannedTypes: Prisma merges these with an intersection, where `{}` is the neutral type.
  $extends: { extArgs: { result: {}; model: {}; query: {}; client: { $emitFact: () => EmitFactMethod } } }
}

/** A model of a client, as Prisma describes it to the types of its extensions. */
interface DescribedModel {
  readonly fields: object
  readonly [description: symbol]: {
    readonly types: { readonly payload: { readonly name: string; readonly scalars: object } }
  }
}

type PayloadOf<Model> = Model extends DescribedModel ? Model[symbol]['types']['payload'] : never

/**
 * The models of a client, each with the type of its rows: all columns, no relations, no computed fields. `$extends`
 * tells the client's type; where it cannot (an extension that is made before its client is known) rows are records.
 */
export type RowsOf<Client> = unknown extends Client
  ? Readonly<Record<string, Readonly<Record<string, unknown>>>>
  : {
      [Name in keyof Client as Name extends `$${string}` ? never : PayloadOf<Client[Name]>['name']]: Pick<
        PayloadOf<Client[Name]>['scalars'],
        keyof PayloadOf<Client[Name]>['scalars'] & keyof (Client[Name] & DescribedModel)['fields']
      >
    }

/** What the adapter reads of a client that it does not know: everything may be missing. */
export interface UnknownClient {
  readonly $connect?: unknown
  readonly $executeRaw?: PrismaTransactionLike['$executeRaw']
  readonly $parent?: UnknownClient
}
