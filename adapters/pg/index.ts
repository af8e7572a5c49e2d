/**
 * factlib/pg: facts in the transactions of node-postgres; nothing between the driver and you.
 *
 *   emit-fact.ts        emitFact, createEmitter
 *   check-emission.ts   would emitted facts be kept? for a service's start-up
 *   pg-like.ts          what is needed of pg, by structure
 */
export { checkEmission } from './check-emission.ts'
export { createEmitter, type EmitFact, emitFact, type PgEmitter } from './emit-fact.ts'
export type { PgClientLike, PgQueryableLike, PgResultLike } from './pg-like.ts'
