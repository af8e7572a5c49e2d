import { Kafka, type KafkaConfig, logLevel, type SASLOptions } from 'kafkajs'
import { expect, test } from 'vitest'
import { registerCleanup } from '../cleanup.ts'
import { createTopics, readTopic } from '../kafka.ts'
import { startProxy } from '../proxy.ts'
import { type KafkaCluster, type KafkaOptions, startKafka } from './kafka.ts'

async function start(options?: KafkaOptions): Promise<KafkaCluster> {
  const cluster = await startKafka(options)
  registerCleanup(() => cluster.remove())
  return cluster
}

async function brokerCount(config: KafkaConfig): Promise<number> {
  const admin = new Kafka({ logLevel: logLevel.NOTHING, retry: { retries: 0 }, ...config }).admin()
  try {
    await admin.connect()
    return (await admin.describeCluster()).brokers.length
  } finally {
    await admin.disconnect()
  }
}

test('SASL and TLS let in who shows the right password and trusts the authority, and nobody else', async () => {
  const cluster = await start({ name: 'secure', sasl: true, tls: true })
  const { username, password, ca, client } = cluster.security
  const { sasl, tls, saslTls } = cluster.listeners
  for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512'] as const) {
    // A new object each time: kafkajs keeps the first one's credentials in it.
    const login = (secret: string): SASLOptions => ({ mechanism, username, password: secret }) as SASLOptions
    expect(await brokerCount({ brokers: sasl, sasl: login(password) })).toBe(1)
    expect(await brokerCount({ brokers: saslTls, sasl: login(password), ssl: { ca } })).toBe(1)
    await expect(brokerCount({ brokers: sasl, sasl: login('wrong') })).rejects.toThrow('authentication failed')
  }
  expect(await brokerCount({ brokers: tls, ssl: { ca, cert: client.cert, key: client.key } })).toBe(1)
  await expect(brokerCount({ brokers: tls, ssl: {} })).rejects.toThrow(/certificate/)
})

test('a broker that was killed comes back with its records, and a proxy stands before it when asked', async () => {
  const cluster = await start({ name: 'killed', proxy: async (port) => (await startProxy({ port })).port })
  const [broker] = cluster.brokers
  const topic = 'kept'
  await createTopics(cluster.listeners.proxied, [{ topic }])
  const producer = new Kafka({ brokers: cluster.listeners.proxied, logLevel: logLevel.NOTHING }).producer({
    idempotent: true,
  })
  await producer.connect()
  await producer.send({ topic, messages: [{ value: 'a' }] })
  await producer.disconnect()
  await broker?.kill()
  expect(broker?.pid).toBeUndefined()
  await broker?.start()
  expect(
    (await readTopic(cluster.listeners.proxied, topic, { untilCount: 1 })).map(({ value }) => String(value)),
  ).toEqual(['a'])
})

test('a topic is not created by being asked for, and tools run', async () => {
  const cluster = await start({ name: 'strict' })
  await expect(readTopic(cluster.bootstrap, 'nobody-made-me', { timeoutMs: 500 })).rejects.toThrow()
  const topics = await cluster.tool('org.apache.kafka.tools.TopicCommand', [
    '--list',
    '--bootstrap-server',
    ...cluster.bootstrap,
  ])
  expect(topics).not.toContain('nobody-made-me')
})

test('three brokers: a topic survives the loss of any leader', async () => {
  const cluster = await start({ name: 'three', brokers: 3 })
  expect(await brokerCount({ brokers: cluster.bootstrap })).toBe(3)
  const topic = 'replicated'
  await createTopics(cluster.bootstrap, [
    { topic, partitions: 3, replicationFactor: 3, config: { 'min.insync.replicas': '2' } },
  ])
  const producer = new Kafka({ brokers: cluster.bootstrap, logLevel: logLevel.NOTHING }).producer()
  await producer.connect()
  // Each broker leads one of the three.
  await producer.send({ topic, acks: -1, messages: [0, 1, 2].map((partition) => ({ partition, value: 'a' })) })
  await producer.disconnect()
  await cluster.brokers[0]?.stop()
  expect(await readTopic(cluster.bootstrap, topic, { untilCount: 3 })).toHaveLength(3)
})
