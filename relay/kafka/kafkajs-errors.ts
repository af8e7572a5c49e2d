import { SinkError, type SinkFaultKind } from '../sink/sink.ts'

/** What kafkajs throws, as far as we look at it. https://kafka.js.org/docs/2.2.4/errors */
interface KafkajsErrorLike {
  readonly name?: string
  readonly message?: string
  /** Kafka's name of the error code, on KafkaJSProtocolError. */
  readonly type?: string
  readonly code?: number | string
  readonly cause?: unknown
}

/** Kafka's error codes (https://kafka.apache.org/protocol#protocol_error_codes), by what to do about them. */
const KIND_BY_CODE: ReadonlyMap<number, SinkFaultKind> = new Map([
  [3, 'topicMissing'],
  [5, 'retry'],
  [6, 'retry'],
  [7, 'retry'],
  [9, 'retry'],
  [13, 'retry'],
  [14, 'retry'],
  [15, 'retry'],
  [16, 'retry'],
  [19, 'retry'],
  [20, 'retry'],
  [56, 'retry'],
  [74, 'retry'],
  [45, 'renew'],
  [47, 'renew'],
  [49, 'renew'],
  [59, 'renew'],
  [90, 'renew'],
  [2, 'record'],
  [10, 'record'],
  [18, 'record'],
  [87, 'record'],
  [17, 'configuration'],
  [29, 'configuration'],
  [31, 'configuration'],
  [33, 'configuration'],
  [34, 'configuration'],
  [53, 'configuration'],
  [58, 'configuration'],
])

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
  for (let depth = 0; depth < 8 && current?.cause instanceof Error; depth++) current = current.cause as KafkajsErrorLike
  return current
}

/** True for the broker's "I have these records already", which is success. */
export function isDuplicateSequence(error: unknown): boolean {
  return leaf(error).code === 46
}

/**
 * Turns whatever kafkajs throws into a {@link SinkError}. Unknown errors become `retry`: the fact stays and the batch
 * goes again, which can only repeat, never lose.
 */
export function toSinkError(error: unknown, doing: string): SinkError {
  if (error instanceof SinkError) return error
  const cause = leaf(error)
  const name = cause.name ?? 'Error'
  const kind =
    (typeof cause.code === 'number' ? KIND_BY_CODE.get(cause.code) : undefined) ??
    KIND_BY_NAME.get(name) ??
    (/unknown error code 90\b/i.test(cause.message ?? '') ? 'renew' : 'retry')
  const type = cause.type ?? (typeof cause.code === 'string' ? cause.code : name)
  return new SinkError(kind, type, `${doing}: ${type}${cause.message ? ` (${oneLine(cause.message)})` : ''}`, {
    cause: error,
  })
}

function oneLine(message: string): string {
  const line = message.replace(/\s+/g, ' ')
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}
