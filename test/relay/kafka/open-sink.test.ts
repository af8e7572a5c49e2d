import { describe, expect, test } from 'vitest'
import { chooseClient, openKafkaSink } from '../../../relay/kafka/open-sink.ts'
import { nodeRunsPlatformatic } from '../../../relay/kafka/platformatic-client.ts'
import type { KafkaTarget, RelayLogger } from '../../../relay/types.ts'

const NEW = { nodeVersion: '24.21.0', isInstalled: true }
const OLD = { nodeVersion: '20.20.2', isInstalled: true }
const ABSENT = { nodeVersion: '24.21.0', isInstalled: false }
const target = (client: KafkaTarget['client'], compression: KafkaTarget['compression'] = 'none') => ({
  ...(client ? { client } : {}),
  compression,
})

describe('which Kafka client produces', () => {
  test('auto: the fast one where it can run, else kafkajs, with the reason', () => {
    expect(chooseClient(target('auto'), NEW)).toEqual({ client: 'platformatic', reason: 'it is installed and faster' })
    expect(chooseClient(target(undefined), NEW).client).toBe('platformatic')
    expect(chooseClient(target('auto'), OLD)).toEqual({
      client: 'kafkajs',
      reason: '@platformatic/kafka needs Node.js 22.22 or 24.6 or newer, and this is 20.20.2',
    })
    expect(chooseClient(target('auto'), ABSENT)).toEqual({
      client: 'kafkajs',
      reason: '@platformatic/kafka is not installed (npm install @platformatic/kafka@2.12.1)',
    })
  })

  test('a name is taken at its word, or refused with what to do', () => {
    expect(chooseClient(target('kafkajs'), NEW)).toEqual({ client: 'kafkajs', reason: 'KAFKA_CLIENT names it' })
    expect(chooseClient(target('platformatic'), NEW)).toEqual({
      client: 'platformatic',
      reason: 'KAFKA_CLIENT names it',
    })
    expect(() => chooseClient(target('platformatic'), OLD)).toThrow(
      'KAFKA_CLIENT=platformatic: @platformatic/kafka needs Node.js 22.22 or 24.6 or newer, and this is 20.20.2',
    )
    expect(() => chooseClient(target('platformatic'), ABSENT)).toThrow('npm install @platformatic/kafka@2.12.1')
  })

  test('a codec that the client has not is refused, and says what has it', () => {
    const codecs = ['none', 'gzip']
    expect(() => chooseClient(target('auto', 'lz4'), OLD, codecs)).toThrow(
      /KAFKA_COMPRESSION=lz4: kafkajs has none, gzip on this Node.js, and @platformatic\/kafka needs Node.js 22.22/,
    )
    expect(() => chooseClient(target('kafkajs', 'snappy'), NEW, codecs)).toThrow(/take KAFKA_CLIENT=auto/)
    expect(chooseClient(target('kafkajs', 'gzip'), OLD, codecs).client).toBe('kafkajs')
    expect(chooseClient(target('kafkajs', 'zstd'), NEW, [...codecs, 'zstd']).client).toBe('kafkajs')
    expect(chooseClient(target('auto', 'lz4'), NEW, codecs).client).toBe('platformatic')
  })

  test.each([
    ['20.20.2', false],
    ['22.21.9', false],
    ['22.22.0', true],
    ['23.11.0', false],
    ['24.5.0', false],
    ['24.6.0', true],
    ['25.0.0', true],
  ])('Node.js %s: %s', (version, runs) => expect(nodeRunsPlatformatic(version)).toBe(runs))

  test('which one is said at start, once, and nothing is connected', async () => {
    const said: object[] = []
    const logger: RelayLogger = { debug() {}, warn() {}, error() {}, info: (fields) => void said.push(fields) }
    const sink = openKafkaSink({
      target: { clientId: 'x', brokers: ['127.0.0.1:1'], tls: false, compression: 'none' },
      logger,
    })
    expect(sink.name).toBe('kafka')
    await sink.open()
    await sink.open()
    expect(said).toEqual([{ client: sink.name, reason: expect.any(String), compression: 'none' }])
    expect(sink.name).toBe(nodeRunsPlatformatic() ? 'platformatic' : 'kafkajs')
    await sink.close()
  })
})
