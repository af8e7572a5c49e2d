import { SinkError } from '../sink/sink.ts'
import { kindOfCode, oneLine } from './kafka-errors.ts'

/** What the library throws, as far as we look at it. */
interface PlatformaticErrorLike {
  readonly name?: string
  readonly message?: string
  /** `PLT_KFK_…`; a time-out wrongly says `PLT_KFK_NETWORK`. */
  readonly code?: string
  /** Kafka's name and number of an error that a broker answered. */
  readonly apiId?: string
  readonly apiCode?: number
  readonly cause?: unknown
  readonly errors?: readonly unknown[]
  readonly response?: unknown
}

/**
 * The error that matters: an answer of a broker before anything else, then a refused authentication (it hides inside a
 * network error), then the innermost cause.
 */
function leaf(error: unknown): PlatformaticErrorLike {
  const found: PlatformaticErrorLike[] = []
  collect(error, found, 0)
  return (
    found.find((one) => kindOfCode(one.apiCode) !== undefined) ??
    found.find((one) => typeof one.apiCode === 'number' && one.apiCode !== 0) ??
    found.find(isAuthentication) ??
    found.at(-1) ??
    {}
  )
}

function collect(error: unknown, found: PlatformaticErrorLike[], depth: number): void {
  if (typeof error !== 'object' || error === null || depth > 8) return
  const one = error as PlatformaticErrorLike
  found.push(one)
  for (const inner of one.errors ?? []) collect(inner, found, depth + 1)
  collect(one.cause, found, depth + 1)
}

/** Bad credentials; also a mechanism that the broker does not have, and a broker's own TLS or plain text against ours. */
function isAuthentication(error: PlatformaticErrorLike): boolean {
  return error.code === 'PLT_KFK_AUTHENTICATION' || /authenticat|Broker requires TLS/i.test(error.message ?? '')
}

/**
 * Turns whatever the library throws into a {@link SinkError}. Unknown errors become `retry`: the fact stays and the batch
 * goes again, which can only repeat, never lose.
 */
export function toSinkError(error: unknown, doing: string): SinkError {
  if (error instanceof SinkError) return error
  const cause = leaf(error)
  const kind = kindOfCode(cause.apiCode) ?? (isAuthentication(cause) ? 'configuration' : 'retry')
  const type = cause.apiId ?? cause.code ?? cause.name ?? 'Error'
  return new SinkError(kind, type, `${doing}: ${type}${cause.message ? ` (${oneLine(cause.message)})` : ''}`, {
    cause: error,
  })
}

/** The answer inside an error that the library made of it; undefined when there was none. */
export function answerOf(error: unknown): unknown {
  return (error as PlatformaticErrorLike | undefined)?.response
}
