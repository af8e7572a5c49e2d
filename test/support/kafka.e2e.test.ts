import { Kafka, logLevel, Partitioners } from 'kafkajs'
import { expect, inject, onTestFinished, test } from 'vitest'
import { createTopics, highWatermarks, readTopic, readTopics, uniquePrefix } from './kafka.ts'

const brokers = inject('kafkaBrokers')

function client(): Kafka {
  return new Kafka({ brokers, logLevel: logLevel.NOTHING })
}

test('reads every record from the beginning to the end, with its bytes and headers', async () => {
  const prefix = uniquePrefix()
  const [order, empty] = [`${prefix}.order`, `${prefix}.empty`]
  await createTopics(brokers, [{ topic: order, partitions: 3 }, { topic: empty }])
  const producer = client().producer({ createPartitioner: Partitioners.DefaultPartitioner, idempotent: true })
  await producer.connect()
  onTestFinished(() => producer.disconnect())
  const value = Buffer.from([0, 255, 10])
  await producer.send({
    topic: order,
    messages: [
      { partition: 2, key: 'k', value, headers: { event_id: 'e', LSN: '0/1' }, timestamp: '1700000000123' },
      { partition: 0, key: '', value: null, headers: { twice: ['a', 'b'] } },
    ],
  })
  const records = await readTopics(brokers, [order, empty])
  expect(records).toMatchObject([
    { topic: order, partition: 0, offset: 0n, key: Buffer.alloc(0), value: null },
    { topic: order, partition: 2, offset: 0n, key: Buffer.from('k'), value, timestamp: 1_700_000_000_123 },
  ])
  expect(records.map(({ headers }) => headers.map(([name, bytes]) => [name, bytes.toString()]))).toEqual([
    [
      ['twice', 'a'],
      ['twice', 'b'],
    ],
    [
      ['event_id', 'e'],
      ['LSN', '0/1'],
    ],
  ])
  expect(await highWatermarks(brokers, [order, empty])).toEqual(
    new Map([
      [order, [1n, 0n, 1n]],
      [empty, [0n]],
    ]),
  )
})

test('waits until a count is reached, and says how many there were when it is not', async () => {
  const topic = uniquePrefix()
  await createTopics(brokers, [{ topic }])
  const producer = client().producer({ createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  onTestFinished(() => producer.disconnect())
  const reading = readTopic(brokers, topic, { untilCount: 2 })
  for (const value of ['a', 'b']) await producer.send({ topic, messages: [{ value }] })
  expect((await reading).map(({ value }) => String(value))).toEqual(['a', 'b'])
  await expect(readTopic(brokers, topic, { untilCount: 3, timeoutMs: 200 })).rejects.toThrow('there are 2')
})

test('leaves out aborted transactions when told to, and reads past their markers', async () => {
  const topic = uniquePrefix()
  await createTopics(brokers, [{ topic }])
  const producer = client().producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    idempotent: true,
    maxInFlightRequests: 1,
    transactionalId: topic,
  })
  await producer.connect()
  onTestFinished(() => producer.disconnect())
  for (const end of ['abort', 'commit'] as const) {
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: [{ value: end }] })
    await transaction[end]()
  }
  const values = async (committed: boolean): Promise<string[]> =>
    (await readTopic(brokers, topic, { committed })).map(({ value }) => String(value))
  expect(await values(false)).toEqual(['abort', 'commit'])
  expect(await values(true)).toEqual(['commit'])
})

test('a missing topic fails by name', async () => {
  await expect(readTopic(brokers, `${uniquePrefix()}.none`, { timeoutMs: 500 })).rejects.toThrow(
    'This server does not host this topic-partition',
  )
})
