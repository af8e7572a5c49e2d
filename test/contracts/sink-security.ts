import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { KafkaTarget } from '../../relay/types.ts'
import { readTopic, uniquePrefix } from '../support/kafka.ts'
import { faultOf, records, type SinkFixture } from './sink-fixture.ts'

const MECHANISMS = ['plain', 'scram-sha-256', 'scram-sha-512'] as const

export function describeSinkSecurity({ cluster, createTopic, connectedSink, sink, logged }: SinkFixture): void {
  const tls = () => ({ ca: cluster().security.ca, minVersion: 'TLSv1.2' as const })
  const saslOf = (mechanism: (typeof MECHANISMS)[number], password = cluster().security.password) => ({
    mechanism,
    username: cluster().security.username,
    password,
  })

  async function writes(target: Partial<KafkaTarget>): Promise<void> {
    const topic = `${uniquePrefix()}.security`
    await createTopic({ topic, replicationFactor: 3 })
    const one = await connectedSink(target)
    await one.send(topic, 0, records(3, 0))
    expect(await readTopic(cluster().bootstrap, topic)).toHaveLength(3)
  }

  describe('security', () => {
    test('TLS, the brokers verified by a private authority', () =>
      writes({ brokers: cluster().listeners.tls, tls: tls() }))

    test('TLS by name, and with a certificate of our own', async () => {
      const { client } = cluster().security
      const brokers = cluster().listeners.tls.map((address) => address.replace('127.0.0.1', 'localhost'))
      await writes({ brokers, tls: { ...tls(), ...client } })
    })

    test('a certificate of an unknown authority is not accepted', async () => {
      const one = await sink({ brokers: cluster().listeners.tls, tls: { minVersion: 'TLSv1.2' } })
      expect((await faultOf(one.connect())).message).toMatch(/certificate|UNABLE_TO|SELF_SIGNED|DEPTH/i)
    })

    test.each(MECHANISMS)('%s over TLS', (mechanism) =>
      writes({ brokers: cluster().listeners.saslTls, tls: tls(), sasl: saslOf(mechanism) }),
    )

    test.each(MECHANISMS)('%s in plain text', (mechanism) =>
      writes({ brokers: cluster().listeners.sasl, sasl: saslOf(mechanism) }),
    )

    test.each(MECHANISMS)(
      'a wrong password (%s) is for an operator to mend, and is told to nobody',
      async (mechanism) => {
        const password = 'Wr0ng-and-secret'
        const one = await sink({ brokers: cluster().listeners.sasl, sasl: saslOf(mechanism, password) })
        const fault = await faultOf(one.connect())
        expect(fault.kind).toBe('configuration')
        expect(inspect(fault, { depth: 12 }) + JSON.stringify(fault) + logged.join('\n')).not.toContain(password)
      },
    )
  })
}
