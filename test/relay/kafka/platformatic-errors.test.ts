import { expect, test } from 'vitest'
import { answerOf, toSinkError } from '../../../relay/kafka/platformatic-errors.ts'
import { SinkError } from '../../../relay/sink/sink.ts'

// The shapes that @platformatic/kafka 2.12.1 throws; this file runs where the library cannot be loaded, too.
const protocol = (apiId: string, apiCode: number) =>
  Object.assign(new Error('words of the protocol'), { code: 'PLT_KFK_PROTOCOL', apiId, apiCode, canRetry: false })
const multiple = (...errors: Error[]) =>
  Object.assign(new AggregateError(errors, 'produce failed'), { code: 'PLT_KFK_MULTIPLE' })
const network = (cause?: Error) =>
  Object.assign(new Error('Connection to broker failed.', cause ? { cause } : {}), { code: 'PLT_KFK_NETWORK' })
const authentication = (cause?: Error) =>
  Object.assign(new Error('SASL authentication failed.', cause ? { cause } : {}), { code: 'PLT_KFK_AUTHENTICATION' })

test.each([
  [
    'an answer of a broker, two levels deep',
    multiple(multiple(protocol('MESSAGE_TOO_LARGE', 10))),
    'record',
    'MESSAGE_TOO_LARGE',
  ],
  [
    'the first attempt a network error, then an answer',
    multiple(network(), protocol('TOPIC_AUTHORIZATION_FAILED', 29)),
    'configuration',
    'TOPIC_AUTHORIZATION_FAILED',
  ],
  [
    'a refused authentication inside a network error',
    network(authentication(protocol('SASL_AUTHENTICATION_FAILED', 58))),
    'configuration',
    'SASL_AUTHENTICATION_FAILED',
  ],
  ['a signature of the server that is wrong', network(authentication()), 'configuration', 'PLT_KFK_AUTHENTICATION'],
  ['plain text to a listener with TLS', network(new Error('Broker requires TLS.')), 'configuration', 'Error'],
  ['a code that is in no table', protocol('SOMETHING_NEW', 999), 'retry', 'SOMETHING_NEW'],
  ['a new producer is needed', protocol('INVALID_PRODUCER_EPOCH', 47), 'renew', 'INVALID_PRODUCER_EPOCH'],
  [
    'a socket that is reset',
    network(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })),
    'retry',
    'ECONNRESET',
  ],
  ['something that is no error', undefined, 'retry', 'Error'],
] as const)('%s', (_, error, kind, type) => {
  const fault = toSinkError(error, 'cannot produce to t/0')
  expect(fault).toMatchObject({ kind, type })
  expect(fault.message.startsWith(`cannot produce to t/0: ${type}`)).toBe(true)
})

test('one that is ours already stays, and the answer inside an error is found', () => {
  const fault = new SinkError('renew', 'X', 'x')
  expect(toSinkError(fault, 'doing')).toBe(fault)
  expect(answerOf(Object.assign(new Error(), { response: { responses: [] } }))).toEqual({ responses: [] })
  expect(answerOf(undefined)).toBeUndefined()
})

test('an error that is its own cause ends', () => {
  const loop = network()
  Object.assign(loop, { cause: loop })
  expect(toSinkError(loop, 'x').kind).toBe('retry')
})
