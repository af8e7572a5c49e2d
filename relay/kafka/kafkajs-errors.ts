import { SinkError, type SinkFaultKind } from '../sink/sink.ts'
import { kindOfCode, oneLine } from './kafka-errors.ts'

/** What kafkajs throws, as far as we look at it. https://kafka.js.org/docs/2.2.4/errors */
interface KafkajsErrorLike {
  readonly name?: string
  readonly message?: string
  /** Kafka's name of the error code, on KafkaJSProtocolError. */
  readonly type?: string
  readonly code?: number | string
  readonly cause?: unknown
  /** Of a KafkaJSAggregateError: one for each topic. */
  readonly errors?: readonly unknown[]
}

const KIND_BY_NAME: ReadonlyMap<string, SinkFaultKind> = new Map([
  ['KafkaJSLockTimeout', 'renew'],
  ['RangeError', 'renew'],
  ['KafkaJSSASLAuthenticationError', 'configuration'],
  ['KafkaJSUnsupportedMagicByteInMessageSet', 'configuration'],
  ['KafkaJSNotImplemented', 'configuration'],
])

/** kafkajs wraps the error that matters in `KafkaJSNumberOfRetriesExceeded` and `KafkaJSNonRetriableError`. */
function leaf(error: unknown): KafkajsErrorLike {
  let current = error as KafkajsErrorLike
  for (let depth = 0; depth < 8; depth++) {
    const inner = current?.cause ?? current?.errors?.[0]
    if (!(inner instanceof Error)) break
    current = inner as KafkajsErrorLike
  }
  return current
}

/**
 * Turns whatever kafkajs throws into a {@link SinkError}. Unknown errors become `retry`: the fact stays and the batch
 * goes again, which can only repeat, never lose.
 */
export function toSinkError(error: unknown, doing: string): SinkError {
  if (error instanceof SinkError) return error
  const cause = leaf(error) ?? {}
  const name = cause.name ?? 'Error'
  const kind =
    kindOfCode(cause.code) ??
    KIND_BY_NAME.get(name) ??
    (/unknown error code 90\b/i.test(cause.message ?? '') ? 'renew' : 'retry')
  const type = cause.type ?? (typeof cause.code === 'string' ? cause.code : name)
  return new SinkError(kind, type, `${doing}: ${type}${cause.message ? ` (${oneLine(cause.message)})` : ''}`, {
    cause: error,
  })
}
