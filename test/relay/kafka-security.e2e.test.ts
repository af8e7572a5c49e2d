import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { RelayOptions } from '../../relay/index.ts'
import { registerCleanup } from '../support/cleanup.ts'
import { createTopics, readTopic } from '../support/kafka.ts'
import { type KafkaCluster, startKafka } from '../support/services/kafka.ts'
import { waitFor } from '../support/wait.ts'
import { createBench, uniqueName } from './relay-bench.ts'

let kafka: KafkaCluster
const files: Record<'ca' | 'cert' | 'key', string> = { ca: '', cert: '', key: '' }

beforeAll(async () => {
  kafka = await startKafka({ name: 'security', sasl: true, tls: true })
  registerCleanup(() => kafka.remove())
  const { ca, client } = kafka.security
  for (const [name, pem] of Object.entries({ ca, ...client })) {
    const path = join(tmpdir(), uniqueName(name))
    await writeFile(path, pem, { mode: 0o600 })
    files[name as keyof typeof files] = path
  }
})

type Options = (kafka: KafkaCluster) => Partial<RelayOptions>
const login = (mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'): Options => {
  return ({ security }) => ({
    kafkaUsername: security.username,
    kafkaPassword: security.password,
    kafkaSaslMechanism: mechanism,
  })
}

describe('brokers that ask who we are', () => {
  it.each<[string, Options]>([
    ['SASL PLAIN', (one) => ({ ...login('plain')(one), kafkaBrokers: one.listeners.sasl })],
    ['SCRAM-SHA-256', (one) => ({ ...login('scram-sha-256')(one), kafkaBrokers: one.listeners.sasl })],
    ['SCRAM-SHA-512', (one) => ({ ...login('scram-sha-512')(one), kafkaBrokers: one.listeners.sasl })],
    ['TLS', (one) => ({ kafkaBrokers: one.listeners.tls, kafkaSsl: true, kafkaSslCa: files.ca })],
    [
      'TLS with a certificate of our own',
      (one) => ({
        kafkaBrokers: one.listeners.tls,
        kafkaSsl: true,
        kafkaSslCa: files.ca,
        kafkaSslCert: files.cert,
        kafkaSslKey: files.key,
      }),
    ],
    [
      'SCRAM-SHA-512 over TLS, as KAFKA_SSL means it',
      ({ listeners, security }) => ({
        kafkaBrokers: listeners.saslTls,
        kafkaSsl: true,
        kafkaSslCa: files.ca,
        kafkaUsername: security.username,
        kafkaPassword: security.password,
      }),
    ],
  ])('get facts over %s', async (_, options) => {
    const bench = await createBench({ brokers: kafka.bootstrap })
    await createTopics(kafka.bootstrap, [{ topic: `${bench.prefix}.order` }])
    const relay = bench.relay(options(kafka))
    await relay.start()
    await bench.commit({ aggregateId: 'safe' })
    await bench.whenAllConfirmed(relay)
    expect((await readTopic(kafka.bootstrap, `${bench.prefix}.order`)).map(({ key }) => key?.toString())).toEqual([
      'safe',
    ])
    expect(relay.health()).toEqual({ ok: true })
    expect(relay.log.join('\n')).not.toContain(kafka.security.password)
  })

  it.each<[string, RegExp, Options]>([
    [
      'a wrong password',
      /SASL|authentication/i,
      (one) => ({ ...login('scram-sha-512')(one), kafkaPassword: 'not-the-secret', kafkaBrokers: one.listeners.sasl }),
    ],
    [
      'an authority that we do not know',
      /certificate/i,
      (one) => ({ kafkaBrokers: one.listeners.tls, kafkaSsl: true }),
    ],
    ['plain text where they speak TLS', /./, (one) => ({ kafkaBrokers: one.listeners.tls })],
  ])(
    'are not reached with %s: not healthy within 15 seconds, which is said without a secret',
    async (_, says, options) => {
      const bench = await createBench({ brokers: kafka.bootstrap })
      await createTopics(kafka.bootstrap, [{ topic: `${bench.prefix}.order` }])
      const relay = bench.relay({ drainTimeoutMs: 100, ...options(kafka) })
      await relay.start()
      await bench.commit({ aggregateId: 'waits' })
      const [waiting] = await bench.committed()
      const health = await waitFor(
        () => {
          const now = relay.health()
          return !now.ok && says.test(now.reason) && now
        },
        { what: 'health to name the cause', timeoutMs: 15_000 },
      )
      expect(health).toMatchObject({ ok: false })
      expect(await bench.slot.confirmedFlushLsn()).toBeLessThan(waiting?.endLsn as bigint)
      await relay.stop()
      await bench.whenSlotFree()
      expect(await bench.slot.confirmedFlushLsn()).toBeLessThan(waiting?.endLsn as bigint)
      const all = `${JSON.stringify(health)}\n${relay.log.join('\n')}`
      for (const secret of ['not-the-secret', kafka.security.password, 'PRIVATE KEY']) expect(all).not.toContain(secret)
    },
  )
})
