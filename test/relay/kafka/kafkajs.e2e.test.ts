import { Kafka, logLevel } from 'kafkajs'
import { describe, expect, test } from 'vitest'
import { kafkajsCodecs } from '../../../relay/kafka/compression.ts'
import { createKafkajsSink } from '../../../relay/kafka/kafkajs.ts'
import { silentLogger } from '../../../relay/observer.ts'
import { describeSinkRecords } from '../../contracts/sink.ts'
import { describeSinkDoubt } from '../../contracts/sink-doubt.ts'
import { describeSinkFaults } from '../../contracts/sink-faults.ts'
import { createSinkFixture, faultOf, records, values } from '../../contracts/sink-fixture.ts'
import { describeSinkSecurity } from '../../contracts/sink-security.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { readTopic, uniquePrefix } from '../../support/kafka.ts'
import { waitFor } from '../../support/wait.ts'
import { describeEncodedRecords } from './kafkajs-encoded-records.ts'

const fixture = createSinkFixture({
  client: 'kafkajs',
  codecs: kafkajsCodecs(),
  // A timer that it re-arms every millisecond on newer Node.js: known of 2.2.4.
  mostIdlePercent: 8,
  create: async (options) => createKafkajsSink(options),
})

describe('kafkajs', () => {
  // First: with a broker gone, kafkajs gets no new producer while any topic of the cluster has a partition without a leader.
  describeSinkDoubt(fixture)
  describeSinkRecords(fixture)
  describeEncodedRecords(fixture)
  describeSinkSecurity(fixture)
  describeSinkFaults(fixture)

  test('asks for a new producer before its sequences end, and goes on with it', async () => {
    const topic = `${uniquePrefix()}.sequences`
    await fixture.createTopic({ topic })
    const target = { clientId: 'x', brokers: fixture.cluster().bootstrap, tls: false, compression: 'none' } as const
    const sink = createKafkajsSink({ target, logger: silentLogger, recordsPerProducer: 25 })
    registerCleanup(() => sink.close())
    await sink.send(topic, 0, records(10, 0))
    await sink.send(topic, 0, records(10, 10))
    expect(await faultOf(sink.send(topic, 0, records(10, 20)))).toMatchObject({
      kind: 'renew',
      type: 'SEQUENCES_USED_UP',
    })
    await sink.renew()
    await sink.send(topic, 0, records(10, 20))
    expect(values(await readTopic(fixture.cluster().bootstrap, topic))).toEqual(Array.from({ length: 30 }, (_, i) => i))
  })

  test('a send that was given up while it waited for its turn is not written when its turn comes', async () => {
    const topic = `${uniquePrefix()}.late`
    await fixture.createTopic({ topic, replicationFactor: 3 })
    const brokers = fixture.cluster().listeners.proxied
    const target = { clientId: 'x', brokers, tls: false, compression: 'none' } as const
    const sink = createKafkajsSink({ target, logger: silentLogger, sendWatchdogMs: 1_000 })
    registerCleanup(() => sink.close())
    await sink.send(topic, 0, records(10, 0))
    for (const proxy of fixture.proxies()) proxy.blackhole(true)
    // The first is on its way; the second waits for the lock that kafkajs has for each broker.
    for (const from of [10, 20])
      expect(await faultOf(sink.send(topic, 0, records(10, from)))).toMatchObject({ type: 'SEND_TIMEOUT' })
    for (const proxy of fixture.proxies()) proxy.blackhole(false)
    await sink.send(topic, 0, records(10, 30))
    const written = values(await readTopic(fixture.cluster().bootstrap, topic))
    expect(written).toEqual([0, 10, 30].flatMap((from) => records(10, from).map((_, index) => from + index)))
  })

  test('"I have these already", says the broker: the log is asked, and the next batch has sequences of its own', async () => {
    const topic = `${uniquePrefix()}.repetition`
    await fixture.createTopic({ topic, replicationFactor: 3 })
    const sink = await fixture.connectedSink({ brokers: fixture.cluster().listeners.proxied })
    await sink.send(topic, 0, records(10, 0))
    fixture.answerInstead({ topic, errorCode: 46 })
    expect(await faultOf(sink.send(topic, 0, records(10, 10)))).toMatchObject({
      kind: 'renew',
      type: 'DUPLICATE_SEQUENCE_NUMBER',
    })
    await sink.renew()
    await sink.send(topic, 0, records(10, 10))
    await sink.send(topic, 0, records(10, 20))
    expect(values(await readTopic(fixture.cluster().bootstrap, topic))).toEqual(Array.from({ length: 30 }, (_, i) => i))
  })

  // It reads the metadata of all topics that a producer has written to in one request, which fails when one is gone.
  test('a topic that was deleted holds nobody else: a new producer does not know it', async () => {
    const prefix = uniquePrefix()
    const [deleted, other] = [`${prefix}.deleted`, `${prefix}.other`]
    await fixture.createTopic({ topic: deleted })
    await fixture.createTopic({ topic: other })
    const sink = await fixture.connectedSink()
    await sink.send(deleted, 0, records(1, 0))
    const admin = new Kafka({ brokers: [...fixture.cluster().bootstrap], logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    registerCleanup(() => admin.disconnect())
    await admin.deleteTopics({ topics: [deleted] })
    await waitFor(async () => !(await admin.listTopics()).includes(deleted), { what: 'the topic to be gone' })

    // A topic that is new to the producer makes it read its metadata.
    expect(await faultOf(sink.send(other, 0, records(5, 0)))).toMatchObject({ kind: 'renew', type: 'TOPIC_DELETED' })
    await sink.renew()
    expect(await faultOf(sink.send(deleted, 0, records(5, 1)))).toMatchObject({ kind: 'topicMissing' })
    await sink.send(other, 0, records(5, 0))
    expect(values(await readTopic(fixture.cluster().bootstrap, other))).toEqual([0, 1, 2, 3, 4])
  })

  test('a topic that was deleted under its own facts is missing, and keeps no producer from the others', async () => {
    const prefix = uniquePrefix()
    const [deleted, other, third] = [`${prefix}.deleted`, `${prefix}.other`, `${prefix}.third`] as const
    for (const topic of [deleted, other, third]) await fixture.createTopic({ topic })
    const sink = await fixture.connectedSink()
    for (const topic of [deleted, other]) await sink.send(topic, 0, records(1, 0))
    const admin = new Kafka({ brokers: [...fixture.cluster().bootstrap], logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    registerCleanup(() => admin.disconnect())
    await admin.deleteTopics({ topics: [deleted] })
    await waitFor(async () => !(await admin.listTopics()).includes(deleted), { what: 'the topic to be gone' })

    expect(await faultOf(sink.send(deleted, 0, records(1, 1)))).toMatchObject({ kind: 'topicMissing' })
    expect(await faultOf(sink.send(third, 0, records(1, 0)))).toMatchObject({ kind: 'renew', type: 'TOPIC_DELETED' })
    await sink.renew()
    await sink.send(third, 0, records(1, 0))
    await sink.send(other, 0, records(1, 1))
  })
})
