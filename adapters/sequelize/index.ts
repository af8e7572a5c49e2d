/**
 * factlib/sequelize: facts in the transactions of Sequelize 6, on PostgreSQL.
 *
 *   emit-fact.ts          emitFact, createEmitter
 *   open-transaction.ts   which transaction, and whether it is still the one it was
 *   in-transaction.ts     the statement on that transaction's connection: once, bound, unlogged payload
 *   quiet-logging.ts      the user's logging without the parameters
 *   install-factlib.ts    installFactlib: models emit by themselves
 *   seen-write.ts         which row-writing calls there are, and what they write
 *   written-rows.ts       the rows that a write has touched, as the database gives them back
 *   soft-deletes.ts       deleted and restored of paranoid models
 *   commit-guard.ts       no commit without the facts, whoever catches the error
 *   check-emission.ts     would emitted facts be kept? for a service's start-up
 *   sequelize-like.ts     what is needed of Sequelize, by structure
 *   model-internals.ts    what is needed besides to see the writes of models
 */
export { checkEmission } from './check-emission.ts'
export { createEmitter, type EmitFact, type EmitFactOptions, emitFact, type SequelizeEmitter } from './emit-fact.ts'
export { type InstallOptions, installFactlib, type SequelizeRow } from './install-factlib.ts'
export type { SequelizeLike, SequelizeTransactionLike } from './sequelize-like.ts'
