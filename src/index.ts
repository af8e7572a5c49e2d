/**
 * factlib: emit facts inside your database transaction, so that they reach Kafka if and only if it commits.
 *
 *   fact       one immutable event about one aggregate (aggregateType, aggregateId, eventType, payload, metadata, trace)
 *   prefix     the WAL message prefix; also the first half of the topic (`${prefix}.${aggregateType}`)
 *   emit       write a fact inside the active database transaction
 *   envelope   the protobuf bytes of a fact, the wire contract with other languages (proto/outbox.proto)
 *   record     what is produced to Kafka for one fact
 *
 * This entry has what all services share. Emitting needs an adapter: `factlib/prisma`, `factlib/drizzle`,
 * `factlib/sequelize`, or one of your own on `emitWith`. Further entries: `factlib/sentry`, `factlib/consumer`,
 * `factlib/relay`.
 */
export { type CheckEmissionOptions, checkEmission, type EmissionCheck, type EmissionFinding } from './check-emission.ts'
export {
  type CurrentDefaults,
  configure,
  currentDefaults,
  DEFAULT_MAX_FACT_BYTES,
  type Defaults,
  resetConfiguration,
} from './config.ts'
export type { EmitEvent, EmittedFact, TraceFailedEvent } from './diagnostics.ts'
export {
  type Emittable,
  type EmitterOptions,
  emitWith,
  type PreparedEmission,
  prepareEmission,
  runEmission,
} from './emitter.ts'
export { type DecodeOptions, decodeFact } from './envelope/decode.ts'
export { encodeFact } from './envelope/encode.ts'
export {
  ConfigurationError,
  DecodeError,
  EmitError,
  ERROR_CODES,
  type ErrorCodeEntry,
  FactlibError,
  InvalidFactError,
  isFactlibError,
  NotInTransactionError,
  UnseenWriteError,
} from './errors.ts'
export { type GuardedTransaction, guardedExecutor, type SqlExecutor, type SqlQuery, type SqlRow } from './executor.ts'
export {
  Fact,
  type FactInput,
  type FactOptions,
  isFact,
  type JsonValue,
  type MetadataValue,
  type Payload,
  type Serialize,
  type UnknownField,
} from './fact.ts'
export { createFactId, isFactId } from './fact-id.ts'
export type { Message, Statement } from './statements.ts'
export { NO_TRACE, type Trace, type TraceSource } from './trace/trace.ts'
