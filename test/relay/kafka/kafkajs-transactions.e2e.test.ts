import { Kafka, logLevel, type Producer, type Transaction } from 'kafkajs'
import { expect, inject, it } from 'vitest'
import { createKafkajsTransactions } from '../../../relay/kafka/kafkajs-transactions.ts'
import { silentLogger } from '../../../relay/observer.ts'
import { FencedError, type TransactionalSend, type TransactionalSink } from '../../../relay/sink/transactional-sink.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { createTopics, readTopic, uniquePrefix } from '../../support/kafka.ts'
import { connectCluster, PartitionReader } from '../../support/kafka-fetch.ts'
import { waitFor } from '../../support/wait.ts'

// Transactions over a real broker: what the port promises, and what kafkajs' own reader gets wrong.

function openSink(): TransactionalSink {
  const sink = createKafkajsTransactions({
    target: { clientId: 'factlib.test', brokers: inject('kafkaBrokers'), tls: false, compression: 'none' },
    logger: silentLogger,
  })
  registerCleanup(() => sink.close())
  return sink
}

async function newTopic(partitions = 1): Promise<string> {
  const topic = `${uniquePrefix()}.positions`
  await createTopics(inject('kafkaBrokers'), [{ topic, partitions }])
  return topic
}

function send(topic: string, key: string, ...values: string[]): TransactionalSend {
  const records = values.map((value) => ({
    key: Buffer.from(key),
    value: Buffer.from(value),
    headers: {},
    // Retention deletes what is old.
    timestampMs: Date.now(),
  }))
  return { topic, partition: 0, records }
}

/** A producer of kafkajs itself, whose transaction the test can leave open. */
async function begin(id: string): Promise<Transaction> {
  const producer = await connect({ transactionalId: id, idempotent: true, maxInFlightRequests: 1 })
  return producer.transaction()
}

async function connect(options: Parameters<Kafka['producer']>[0]): Promise<Producer> {
  const kafka = new Kafka({ brokers: inject('kafkaBrokers'), logLevel: logLevel.NOTHING })
  const producer = kafka.producer(options)
  await producer.connect()
  registerCleanup(() => producer.disconnect())
  return producer
}

const write = (transaction: Transaction, topic: string, key: string, value: string) =>
  transaction.send({ topic, messages: [{ key, value, partition: 0 }] })

it('commits all or nothing, in order, transaction after transaction', async () => {
  const [topic, other] = [await newTopic(), await newTopic()]
  const sink = openSink()
  await sink.fence(uniquePrefix())
  for (let turn = 0; turn < 20; turn++)
    await sink.commit([send(topic, 'k', `a${turn}`, `b${turn}`), send(other, 'p', String(turn))])
  const values = (await readTopic(inject('kafkaBrokers'), topic, { committed: true })).map(({ value }) => `${value}`)
  expect(values.filter((value) => /^[ab]/.test(value))).toEqual(
    Array.from({ length: 20 }, (_, turn) => [`a${turn}`, `b${turn}`]).flat(),
  )
  expect(String(await sink.readLast(other, 'p'))).toBe('19')
})

it('fences: who had the id before can commit nothing more, and learns why', async () => {
  const topic = await newTopic()
  const id = uniquePrefix()
  const [first, second] = [openSink(), openSink()]
  await first.fence(id)
  await first.commit([send(topic, 'k', 'one')])
  await second.fence(id)
  await expect(first.commit([send(topic, 'k', 'two')])).rejects.toBeInstanceOf(FencedError)
  expect(String(await second.readLast(topic, 'k'))).toBe('one')
  await second.commit([send(topic, 'k', 'three')])
  expect(String(await second.readLast(topic, 'k'))).toBe('three')
})

it('after a rejection nothing can be committed until it fences anew, and nothing of it is seen', async () => {
  const topic = await newTopic()
  const id = uniquePrefix()
  const sink = openSink()
  await sink.fence(id)
  await expect(sink.commit([send(topic, 'k', 'lost'), send(`${topic}.missing`, 'k', 'x')])).rejects.toThrow()
  await expect(sink.commit([send(topic, 'k', 'early')])).rejects.toMatchObject({ type: 'NOT_FENCED' })
  await sink.fence(id)
  expect(await sink.readLast(topic, 'k')).toBeUndefined()
  await sink.commit([send(topic, 'k', 'kept')])
  expect(String(await sink.readLast(topic, 'k'))).toBe('kept')
})

it('says which fault a record is', async () => {
  const topic = await newTopic()
  const sink = openSink()
  await sink.fence(uniquePrefix())
  await expect(sink.commit([send(topic, 'k', 'x'.repeat(1_200_000))])).rejects.toMatchObject({
    kind: 'record',
    type: 'MESSAGE_TOO_LARGE',
  })
})

it('reads the last committed record also where aborted transactions of two producers overlap', async () => {
  const topic = await newTopic()
  const [a, b] = [uniquePrefix(), uniquePrefix()]
  const sink = openSink()
  await sink.fence(a)
  await sink.commit([send(topic, a, 'committed')])
  const [ours, theirs] = [await begin(a), await begin(b)]
  await write(ours, topic, a, 'aborted')
  await write(theirs, topic, b, 'aborted')
  // Theirs began later and ends first: the broker lists it first.
  await theirs.abort()
  await ours.abort()
  expect(String(await sink.readLast(topic, a))).toBe('committed')
  expect(await sink.readLast(topic, b)).toBeUndefined()
})

it('waits for what is undecided before the end: it may be the last record', async () => {
  const topic = await newTopic()
  const sink = openSink()
  const open = await begin(uniquePrefix())
  await write(open, topic, 'k', 'late')
  let settled = false
  const reading = sink.readLast(topic, 'k').finally(() => {
    settled = true
  })
  // Long enough for a reader that does not wait: it is done before a second one has read the topic.
  await readTopic(inject('kafkaBrokers'), topic)
  await sink.partitionCount(topic)
  expect(settled).toBe(false)
  await open.commit()
  expect(String(await reading)).toBe('late')
})

it('finds a record far from the end, and one without value', async () => {
  const topic = await newTopic()
  const sink = openSink()
  await sink.fence(uniquePrefix())
  await sink.commit([send(topic, 'old', 'first', 'second')])
  const producer = await connect({ idempotent: true })
  for (let turn = 0; turn < 13; turn++)
    await producer.send({
      topic,
      messages: Array.from({ length: 500 }, () => ({ key: 'other', value: 'x', partition: 0 })),
    })
  expect(String(await sink.readLast(topic, 'old'))).toBe('second')
  await producer.send({ topic, messages: [{ key: 'old', value: null, partition: 0 }] })
  expect(await sink.readLast(topic, 'old')).toEqual(Buffer.alloc(0))
  expect(await sink.readLast(topic, 'never')).toBeUndefined()
})

it('says that a topic is missing, and makes it with its settings', async () => {
  const sink = openSink()
  const topic = `${uniquePrefix()}.positions`
  await expect(sink.readLast(topic, 'k')).rejects.toMatchObject({ kind: 'topicMissing' })
  await expect(sink.partitionCount(topic)).rejects.toMatchObject({ kind: 'topicMissing' })
  await sink.createTopic(topic, 1, 1, { 'cleanup.policy': 'compact' })
  await sink.createTopic(topic, 1, 1, { 'cleanup.policy': 'compact' })
  expect(await sink.partitionCount(topic)).toBe(1)
  expect(await sink.readLast(topic, 'k')).toBeUndefined()
})

it('ends an open transaction when it closes: consumers do not wait for it', async () => {
  const topic = await newTopic()
  const sink = openSink()
  await sink.fence(uniquePrefix())
  // Far more requests than it can send before it is closed.
  const committing = sink.commit(Array.from({ length: 5_000 }, () => send(topic, 'k', 'a')))
  const outcome = committing.then(
    () => 'committed',
    () => 'failed',
  )
  const cluster = await connectCluster(inject('kafkaBrokers'), [topic])
  registerCleanup(() => cluster.disconnect())
  const reader = new PartitionReader(cluster, topic, 0, false)
  await waitFor(async () => (await reader.next(100)).length > 0, { what: 'a record of the open transaction' })
  await sink.close()
  expect(await outcome).toBe('failed')
  const other = openSink()
  const sinceMs = performance.now()
  await other.readLast(topic, 'k')
  expect(performance.now() - sinceMs).toBeLessThan(5_000)
})
