/** For services that read facts from Kafka: with any client, `decodeFact` turns a record's value into a fact. */
export { type DecodeOptions, decodeFact } from '../envelope/decode.ts'
export { DecodeError, FactlibError, isFactlibError } from '../errors.ts'
export { Fact, isFact, type JsonValue } from '../fact.ts'
export type { Trace } from '../trace/trace.ts'
