import kafkajs from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { toSinkError } from '../../../relay/kafka/kafkajs-errors.ts'
import { SinkError, type SinkFaultKind } from '../../../relay/sink/sink.ts'

// Types and code of kafkajs differ: all its errors take the inner error and its cause.
type Wrap = new (error: unknown, options?: object) => Error
const {
  KafkaJSSASLAuthenticationError,
  KafkaJSNonRetriableError,
  KafkaJSNumberOfRetriesExceeded,
  KafkaJSLockTimeout,
  KafkaJSNotImplemented,
} = kafkajs as unknown as Record<string, Wrap>
/** As src/retry of kafkajs does. */
const nonRetriable = (error: Error) => new (KafkaJSNonRetriableError as Wrap)(error, { cause: error.cause ?? error })
const retriesExceeded = (error: Error) =>
  new (KafkaJSNumberOfRetriesExceeded as Wrap)(error, { retryCount: 5, retryTime: 100 })

const protocolError = (code: number, type: string) =>
  new kafkajs.KafkaJSProtocolError(
    Object.assign(new Error(`the broker says ${type}`), { code, type, retriable: false }),
  )

const CODES: readonly [number, string, SinkFaultKind][] = [
  [3, 'UNKNOWN_TOPIC_OR_PARTITION', 'topicMissing'],
  [5, 'LEADER_NOT_AVAILABLE', 'retry'],
  [6, 'NOT_LEADER_FOR_PARTITION', 'retry'],
  [7, 'REQUEST_TIMED_OUT', 'retry'],
  [13, 'NETWORK_EXCEPTION', 'retry'],
  [19, 'NOT_ENOUGH_REPLICAS', 'retry'],
  [20, 'NOT_ENOUGH_REPLICAS_AFTER_APPEND', 'retry'],
  [56, 'KAFKA_STORAGE_ERROR', 'retry'],
  [74, 'FENCED_LEADER_EPOCH', 'retry'],
  [45, 'OUT_OF_ORDER_SEQUENCE_NUMBER', 'renew'],
  [46, 'DUPLICATE_SEQUENCE_NUMBER', 'renew'],
  [47, 'INVALID_PRODUCER_EPOCH', 'renew'],
  [49, 'INVALID_PRODUCER_ID_MAPPING', 'renew'],
  [59, 'UNKNOWN_PRODUCER_ID', 'renew'],
  [90, 'PRODUCER_FENCED', 'renew'],
  [10, 'MESSAGE_TOO_LARGE', 'record'],
  [18, 'RECORD_LIST_TOO_LARGE', 'record'],
  [87, 'INVALID_RECORD', 'record'],
  [17, 'INVALID_TOPIC_EXCEPTION', 'configuration'],
  [29, 'TOPIC_AUTHORIZATION_FAILED', 'configuration'],
  [31, 'CLUSTER_AUTHORIZATION_FAILED', 'configuration'],
  [53, 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED', 'configuration'],
  [58, 'SASL_AUTHENTICATION_FAILED', 'configuration'],
  [12_345, 'SOMETHING_NEW', 'retry'],
]

describe("kafkajs' errors", () => {
  it.each(CODES)('%i %s → %s, bare and in every wrapping', (code, type, kind) => {
    const bare = protocolError(code, type)
    const wrapped = [bare, nonRetriable(bare), retriesExceeded(bare), nonRetriable(retriesExceeded(bare))]
    for (const error of wrapped) {
      const fault = toSinkError(error, 'cannot produce to t/0')
      expect(fault).toBeInstanceOf(SinkError)
      expect(fault).toMatchObject({ kind, type, cause: error })
      expect(fault.message).toContain('cannot produce to t/0')
    }
  })

  it.each<[Error, SinkFaultKind, string]>([
    [
      new kafkajs.KafkaJSConnectionError('Connection error', { broker: 'a:1', code: 'ECONNREFUSED' }),
      'retry',
      'ECONNREFUSED',
    ],
    [
      new kafkajs.KafkaJSRequestTimeoutError('Request timed out', {
        broker: 'a:1',
        clientId: 'c',
        correlationId: 1,
        createdAt: 1,
        sentAt: 1,
        pendingDuration: 1,
      }),
      'retry',
      'KafkaJSRequestTimeoutError',
    ],
    [new (KafkaJSLockTimeout as Wrap)('Timeout'), 'renew', 'KafkaJSLockTimeout'],
    [new RangeError('sequence out of range'), 'renew', 'RangeError'],
    [new (KafkaJSSASLAuthenticationError as Wrap)('no'), 'configuration', 'KafkaJSSASLAuthenticationError'],
    [
      new (KafkaJSNotImplemented as Wrap)('Snappy compression not implemented'),
      'configuration',
      'KafkaJSNotImplemented',
    ],
    [new Error('Unknown error code 90'), 'renew', 'Error'],
    [new Error('anything'), 'retry', 'Error'],
  ])('%s → %s', (error, kind, type) => {
    expect(toSinkError(error, 'x')).toMatchObject({ kind, type })
    expect(toSinkError(nonRetriable(error), 'x')).toMatchObject({ kind, type })
  })

  it('takes whatever is thrown', () => {
    for (const odd of [undefined, null, 'text', 7, {}]) expect(toSinkError(odd, 'x').kind).toBe('retry')
    const own = new SinkError('record', 'MINE', 'mine')
    expect(toSinkError(own, 'x')).toBe(own)
  })

  it('does not end in a ring of causes', () => {
    const ring = new Error('ring')
    ring.cause = ring
    expect(toSinkError(ring, 'x').kind).toBe('retry')
  })

  it('keeps a message to one line of bounded length', () => {
    const { message } = toSinkError(new Error(`a\nb ${'x'.repeat(10_000)}`), 'cannot')
    expect(message).not.toContain('\n')
    expect(message.length).toBeLessThan(400)
  })
})
