import { gzipSync } from 'node:zlib'
import { Kafka, logLevel, type Message, Partitioners, type Producer } from 'kafkajs'
import { beforeAll, describe, expect, test } from 'vitest'
import { kafkajsCodecs } from '../../../relay/kafka/compression.ts'
import { COMPRESSION, codecs, type KafkajsCodec } from '../../../relay/kafka/kafkajs-client.ts'
import { type EncodedBatch, EncodedBatches, partitionOfMessage } from '../../../relay/kafka/kafkajs-encoded.ts'
import { loadPlatformatic } from '../../../relay/kafka/platformatic-client.ts'
import type { SinkRecord } from '../../../relay/sink/sink.ts'
import { faultOf, records, type SinkFixture, values } from '../../contracts/sink-fixture.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { highWatermarks, readTopic, type TopicRecord, uniquePrefix } from '../../support/kafka.ts'

/** zstd is among them where Node.js has it. */
const CODECS = [...new Set([...kafkajsCodecs(), 'snappy', 'lz4'] as const)]
const DAY_MS = 86_400_000

/** relay/kafka/kafkajs-encoded.ts on real brokers, beside what kafkajs writes of the same records by itself. */
export function describeEncodedRecords(fixture: SinkFixture): void {
  const brokers = () => fixture.cluster().bootstrap

  // As users register theirs.
  beforeAll(async () => {
    const library = await loadPlatformatic()
    for (const codec of ['snappy', 'lz4'] as const) {
      const algorithm = library?.compressionsAlgorithms[codec]
      codecs[COMPRESSION[codec]] = () => ({
        compress: async ({ buffer }) => Buffer.from(algorithm?.compressSync(buffer) as Uint8Array),
        decompress: async (bytes) => Buffer.from(algorithm?.decompressSync(bytes) as Uint8Array),
      })
    }
  })

  async function newTopic(partitions = 1): Promise<string> {
    const topic = `${uniquePrefix()}.encoded`
    await fixture.createTopic({ topic, partitions, replicationFactor: 3 })
    return topic
  }

  async function producerOf(createPartitioner = Partitioners.DefaultPartitioner): Promise<Producer> {
    const kafka = new Kafka({ brokers: brokers(), logLevel: logLevel.NOTHING })
    const producer = kafka.producer({
      idempotent: true,
      createPartitioner,
      retry: { retries: 3, initialRetryTime: 50 },
    })
    await producer.connect()
    registerCleanup(() => producer.disconnect())
    return producer
  }

  const encodingProducer = () => producerOf(() => partitionOfMessage)

  async function expectNothing(topic: string): Promise<void> {
    expect((await highWatermarks(brokers(), [topic])).get(topic)).toEqual([0n])
  }

  describe('records that kafkajs carries encoded', () => {
    test.each(CODECS)('%s: what is in the log is what kafkajs writes of the same records', async (codec) => {
      const [encoded, plain] = [await newTopic(), await newTopic()]
      const [ours, theirs] = [await encodingProducer(), await producerOf()]
      const batches = new EncodedBatches(codec)
      for (const batch of oddBatches()) {
        const answer = await batches.open(0, batch).send(ours, encoded)
        expect(answer).toMatchObject([{ partition: 0, errorCode: 0 }])
        const compression = COMPRESSION[codec]
        await theirs.send({ topic: plain, messages: batch.map(toMessage), acks: -1, compression })
      }
      const [found, expected] = [await readTopic(brokers(), encoded), await readTopic(brokers(), plain)]
      expect(found.map(comparable)).toEqual(expected.map(comparable))
      expect(found).toHaveLength(oddBatches().flat().length)
    })

    test('many at once, on every partition and broker: each partition has its own, in order', async () => {
      const topic = await newTopic(12)
      const sink = await fixture.connectedSink({ compression: 'gzip' })
      // Of lengths that differ, so that bytes of another batch would not even fit.
      const of = (partition: number, n: number): SinkRecord => ({
        key: Buffer.from(`${partition}`),
        value: Buffer.from(JSON.stringify({ n, filling: 'x'.repeat((partition * 37 + n) % 900) })),
        headers: { partition: `${partition}` },
        timestampMs: Date.now(),
      })
      const lane = async (partition: number) => {
        for (let batch = 0; batch < 10; batch++)
          await fixture.sendUntilDurable(
            sink,
            topic,
            partition,
            Array.from({ length: 60 + partition }, (_, index) => of(partition, batch * (60 + partition) + index)),
          )
      }
      await Promise.all(Array.from({ length: 12 }, (_, partition) => lane(partition)))
      const found = await readTopic(brokers(), topic)
      for (let partition = 0; partition < 12; partition++) {
        const here = found.filter((one) => one.partition === partition)
        expect(values(here)).toEqual(Array.from({ length: 10 * (60 + partition) }, (_, n) => n))
        for (const { key, headers } of here)
          expect([String(key), String(headers[0]?.[1])]).toEqual([`${partition}`, `${partition}`])
      }
    })

    test("a try of kafkajs' own carries the same bytes again", async () => {
      const topic = await newTopic()
      const seen: Buffer[] = []
      const own = codecs[COMPRESSION.gzip] as () => KafkajsCodec
      registerCleanup(() => {
        codecs[COMPRESSION.gzip] = own
      })
      codecs[COMPRESSION.gzip] = () => ({
        ...own(),
        compress: async ({ buffer }) => {
          seen.push(Buffer.from(buffer))
          return gzipSync(buffer)
        },
      })
      const sink = await fixture.connectedSink({ brokers: fixture.cluster().listeners.proxied, compression: 'gzip' })
      await sink.send(topic, 0, records(50, 0))
      // NOT_ENOUGH_REPLICAS_AFTER_APPEND: written, and kafkajs tries again by itself.
      fixture.answerInstead({ topic, errorCode: 20 })
      await sink.send(topic, 0, records(50, 50))
      expect(seen).toHaveLength(3)
      expect(seen[2]?.equals(seen[1] as Buffer)).toBe(true)
      await sink.send(topic, 0, records(50, 100))
      expect(values(await readTopic(brokers(), topic))).toEqual(Array.from({ length: 150 }, (_, n) => n))
    })

    test('a send that was given up and goes on later writes nothing', async () => {
      const topic = await newTopic()
      const producer = await encodingProducer()
      const batch = new EncodedBatches('none').open(0, records(3, 0))
      const sending = batch.send(producer, topic)
      batch.close()
      await expect(sending).rejects.toThrow()
      await expectNothing(topic)
    })

    // Guards against another kafkajs than the one that this is made for.
    describe.each([1, 2, 500])('placeholders of %i records that go out as they are', (count) => {
      test.each(CODECS)('%s: are refused by the broker, and the records are not blamed', async (codec) => {
        const topic = await newTopic()
        const batch = new EncodedBatches(codec).open(0, records(count, 0))
        const compression = COMPRESSION[codec]
        const fault = await faultOf(sendAltered(batch, topic, (produced) => ({ ...produced, compression })))
        expect(fault).toMatchObject({ kind: 'configuration', type: 'KAFKAJS_VERSION' })
        await expectNothing(topic)
      })
    })

    test('an answer to a batch whose records were not asked for is none', async () => {
      const topic = await newTopic()
      const batch = new EncodedBatches('none').open(0, records(1, 0))
      const written = (produced: Produced) => ({
        ...produced,
        messages: [{ value: 'else', partition: 0 }],
        compression: 0,
      })
      expect(await faultOf(sendAltered(batch, topic, written))).toMatchObject({ type: 'KAFKAJS_VERSION' })
    })
  })

  type Produced = Parameters<Producer['send']>[0]

  async function sendAltered(
    batch: EncodedBatch,
    topic: string,
    alter: (produced: Produced) => Produced,
  ): Promise<unknown> {
    const producer = await encodingProducer()
    return batch.send({ send: (produced) => producer.send(alter(produced)) }, topic)
  }
}

function oddBatches(): SinkRecord[][] {
  const nowMs = 1_000 * Math.floor(Date.now() / 1_000)
  const of = (fields: Partial<SinkRecord>): SinkRecord => ({
    key: Buffer.from('key'),
    value: Buffer.from('value'),
    headers: { event_id: 'id', event_type: 'type', LSN: '0/15E8A90' },
    timestampMs: nowMs,
    ...fields,
  })
  return [
    records(500, 0),
    [of({})],
    [of({ key: Buffer.alloc(0) }), of({ value: Buffer.alloc(0) }), of({ headers: {} })],
    [of({ headers: { 'täg 🔑': 'ключ 🔑', '': '', '\u0000': '\n', ['n'.repeat(300)]: 'ü'.repeat(2_000) } })],
    [of({ value: Buffer.alloc(1_000_000, 'large ') })],
    [0, 5, -7, DAY_MS, 1, -DAY_MS, 0].map((afterMs) => of({ timestampMs: nowMs - 2 * DAY_MS + afterMs })),
  ]
}

function toMessage({ key, value, headers, timestampMs }: SinkRecord): Message {
  return { key, value, headers: headers as Record<string, string>, partition: 0, timestamp: String(timestampMs) }
}

function comparable({ offset, key, value, headers, timestamp }: TopicRecord) {
  const hex = (bytes: Buffer | null) => bytes?.toString('hex')
  return {
    offset,
    key: hex(key),
    value: hex(value),
    headers: headers.map(([name, one]) => [name, hex(one)]),
    timestamp,
  }
}
