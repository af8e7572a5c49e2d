/**
 * factlib/drizzle: facts in Drizzle's transactions, on PostgreSQL.
 *
 *   emit-fact.ts              emitFact, createEmitter
 *   in-transaction.ts         how PostgreSQL itself refuses a transaction that is over
 *   transaction-lifetime.ts   guardTransactions: the one case that PostgreSQL cannot see
 *   check-emission.ts         would emitted facts be kept? for a service's start-up
 *   drizzle-like.ts           what is needed of Drizzle, by structure
 */
export { checkEmission } from './check-emission.ts'
export type { DrizzleDatabaseLike, DrizzleExecutorLike, DrizzleTransactionLike } from './drizzle-like.ts'
export { createEmitter, type DrizzleEmitter, type EmitFact, emitFact } from './emit-fact.ts'
export { guardTransactions } from './transaction-lifetime.ts'
