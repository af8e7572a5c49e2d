import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { setup } from '../../../relay/cli/setup.ts'
import { parseRelayOptions } from '../../../relay/config/settings.ts'
import type { RelayOptions } from '../../../relay/index.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { createTopics } from '../../support/kafka.ts'
import { freePort } from '../../support/services/free-port.ts'
import { type KafkaCluster, startKafka } from '../../support/services/kafka.ts'
import { captureTerminal } from '../cli/captured-terminal.ts'
import { createBench, type RelayBench, uniqueName } from '../relay-bench.ts'
import { type Expected, examine, expectBroken, optionsOf } from './broken-setup.ts'

// One Kafka with users, TLS, ACLs, and a listener that it advertises where nobody can reach it.

let kafka: KafkaCluster
let ca: string
let hiddenPort: number

beforeAll(async () => {
  kafka = await startKafka({
    name: 'doctor',
    sasl: true,
    tls: true,
    proxy: async (port) => {
      hiddenPort = port
      return freePort()
    },
    settings: {
      'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-512',
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      // The plain-text listener's nameless user is the administrator; user "factlib" has only what a test gives.
      'super.users': 'User:ANONYMOUS',
      'producer.id.expiration.ms': '600000',
    },
  })
  registerCleanup(() => kafka.remove())
  ca = join(tmpdir(), uniqueName('ca'))
  await writeFile(ca, kafka.security.ca)
})

function login(change: Partial<RelayOptions> = {}): Partial<RelayOptions> {
  const { username, password } = kafka.security
  return {
    kafkaBrokers: kafka.listeners.sasl,
    kafkaUsername: username,
    kafkaPassword: password,
    kafkaSaslMechanism: 'scram-sha-512',
    ...change,
  }
}

async function prepared(): Promise<RelayBench> {
  const bench = await createBench({ brokers: kafka.bootstrap })
  await setup(parseRelayOptions(optionsOf(bench), { env: {} }), {}, captureTerminal())
  await createTopics(kafka.bootstrap, [{ topic: `${bench.prefix}.order` }])
  await bench.commit({ aggregateId: 'waits' })
  return bench
}

async function allow(operations: readonly string[], topic: string): Promise<void> {
  await kafka.tool('org.apache.kafka.tools.AclCommand', [
    ...['--bootstrap-server', kafka.bootstrap.join(',')],
    ...['--add', '--allow-principal', `User:${kafka.security.username}`, '--topic', topic],
    ...operations.flatMap((operation) => ['--operation', operation]),
  ])
}

describe('a Kafka that does not let us in', () => {
  it.each<[string, () => Partial<RelayOptions>, Expected]>([
    [
      'a wrong password',
      () => login({ kafkaPassword: 'not-the-secret' }),
      { code: 'KAFKA_PASSWORD', what: /"factlib"/, remedy: /kafka-configs\.sh .*--entity-name factlib/, run: /SASL/ },
    ],
    [
      'a mechanism that the brokers do not have',
      () => login({ kafkaSaslMechanism: 'scram-sha-256' }),
      { code: 'KAFKA_MECHANISM', what: /scram-sha-256/, remedy: /KAFKA_SASL_MECHANISM/, run: /SASL|mechanism/i },
    ],
    [
      'no user where they want one',
      () => ({ kafkaBrokers: kafka.listeners.sasl }),
      { code: 'KAFKA_LISTENER', remedy: /KAFKA_USERNAME/, run: /Kafka/ },
    ],
    [
      'plain text where they speak TLS',
      () => ({ kafkaBrokers: kafka.listeners.tls }),
      { code: 'KAFKA_LISTENER', remedy: /KAFKA_SSL=true/, run: /Kafka/ },
    ],
    [
      'TLS where they speak plain text',
      () => ({ kafkaBrokers: kafka.bootstrap, kafkaSsl: true, kafkaSslCa: ca }),
      { code: 'KAFKA_LISTENER', what: /over TLS/, remedy: /KAFKA_SSL=false/, run: /Kafka/ },
    ],
    [
      'a certificate of an authority that we do not know',
      () => ({ kafkaBrokers: kafka.listeners.tls, kafkaSsl: true }),
      { code: 'KAFKA_TLS', remedy: /KAFKA_SSL_CA/, run: /certificate/ },
    ],
    [
      'a broker that says it is where nobody can reach it',
      () => ({ kafkaBrokers: [`127.0.0.1:${hiddenPort}`] }),
      { code: 'KAFKA_ADVERTISED', what: /ECONNREFUSED/, remedy: /advertised\.listeners of broker 1/, run: /Kafka/ },
    ],
  ])('%s', async (_, options, expected) => {
    const bench = await prepared()
    const output = await expectBroken(bench, expected, options())
    for (const secret of ['not-the-secret', kafka.security.password]) expect(output).not.toContain(secret)
  })
})

describe('a Kafka that does not let us write', () => {
  it('no right on the topic at all, then to see it only, then to write: each is told apart', async () => {
    const bench = await prepared()
    const topic = `${bench.prefix}.order`
    await expectBroken(
      bench,
      {
        code: 'ACL_DESCRIBE',
        what: new RegExp(topic),
        remedy: new RegExp(`kafka-acls\\.sh .*'User:factlib' --operation Write --topic ${topic}`),
        run: /check credentials, ACLs/,
      },
      login(),
    )
    await allow(['Describe', 'DescribeConfigs'], topic)
    await expectBroken(
      bench,
      {
        code: 'ACL_WRITE',
        what: new RegExp(topic),
        remedy: new RegExp(`kafka-acls\\.sh .*'User:factlib' --operation Write --topic ${topic}`),
        run: /check credentials, ACLs/,
      },
      login(),
    )
    expect((await examine(bench, login())).findings).toContainEqual(
      expect.objectContaining({ code: 'IDEMPOTENT_WRITE', level: 'problem' }),
    )
    await allow(['Write'], topic)
    expect((await examine(bench, login())).findings).toContainEqual(
      expect.objectContaining({ code: 'ACL_READ', level: 'warning' }),
    )
    await allow(['Read'], topic)
    const { findings, exitCode } = await examine(bench, login())
    expect(findings.filter(({ level }) => level === 'problem')).toEqual([])
    expect(exitCode).toBe(1)
    expect(findings).toContainEqual(expect.objectContaining({ code: 'BROKER_CONFIG', level: 'unknown' }))
  })

  it('over TLS, with a user that may: what is left are warnings of this very cluster', async () => {
    const bench = await prepared()
    const options = login({ kafkaBrokers: kafka.listeners.saslTls, kafkaSsl: true, kafkaSslCa: ca })
    await allow(['Write'], `${bench.prefix}.order`)
    const { findings } = await examine(bench, options)
    expect(findings.filter(({ level }) => level === 'problem')).toEqual([])
    const asAdministrator = await examine(bench, { kafkaBrokers: kafka.bootstrap })
    expect(asAdministrator.findings).toContainEqual(
      expect.objectContaining({
        code: 'PRODUCER_EXPIRATION',
        level: 'warning',
        remedy: expect.stringContaining('86400000'),
      }),
    )
  })
})
