/**
 * `factlib/prisma`: facts inside Prisma's transactions.
 *
 *   extension.ts           factlib(): `$emitFact` on the client and on its transactions
 *   emitter.ts             emitFact(tx, fact) and createEmitter(), the face that every adapter has
 *   array-element.ts       a fact as an element of `prisma.$transaction([…])`
 *   unawaited.ts           a fact that nobody awaits, in an interactive transaction
 *   transaction-client.ts  what a transaction is to Prisma, and the way onto its connection
 *   check.ts               checkEmission() for a service's start-up
 *   model-writes.ts        `models`: one write, its rows and its facts, in one transaction
 *   model-transactions.ts  `models`: no transaction commits a row whose facts are missing
 *   nested-writes.ts       `models`: what cannot be seen is refused
 *   visible-rows.ts, locked-rows.ts, schema-model.ts   the full row, the rows of a deleteMany, the user's schema
 *   internals.ts           what of Prisma is no public contract, looked at before it is used
 *   types.ts               the shapes of Prisma that all of it needs
 *
 * The transaction rule: a fact goes out only through a client that Prisma itself made for a transaction (it has no
 * `$connect`), or as a statement of an array that this extension's `$transaction` runs.
 */
export type { CheckEmissionOptions, EmissionCheck, EmissionFinding } from '../../src/check-emission.ts'
export type { MappedFacts, ModelChange, ModelFacts, ModelMapper, ModelMappers, ModelOperation } from '../models.ts'
export { checkEmission } from './check.ts'
export { createEmitter, emitFact, type PrismaEmitter } from './emitter.ts'
export { type FactlibOptions, factlib } from './extension.ts'
export type {
  EmissionPromise,
  EmitFactMethod,
  FactlibExtension,
  PrismaClientLike,
  PrismaQueryLike,
  PrismaTransactionLike,
  RowsOf,
} from './types.ts'
