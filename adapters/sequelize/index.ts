/**
 * factlib/sequelize: facts in the transactions of Sequelize 6, on PostgreSQL.
 *
 *   emit-fact.ts          emitFact, createEmitter
 *   open-transaction.ts   which transaction, and whether it is still the one it was
 *   in-transaction.ts     the statement on that transaction's connection: once, bound, unlogged payload
 *   quiet-logging.ts      the user's logging without the parameters
 *   check-emission.ts     would emitted facts be kept? for a service's start-up
 *   sequelize-like.ts     what is needed of Sequelize, by structure
 */
export { checkEmission } from './check-emission.ts'
export { createEmitter, type EmitFact, type EmitFactOptions, emitFact, type SequelizeEmitter } from './emit-fact.ts'
export type { SequelizeLike, SequelizeTransactionLike } from './sequelize-like.ts'
