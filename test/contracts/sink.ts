/**
 * What relay/sink/sink.ts promises, on real brokers; every Kafka client is held to it.
 *
 *   sink.ts            records: order, partition, bytes, refusals, codecs
 *   sink-faults.ts     brokers that die, freeze, move; lost answers; closing
 *   sink-doubt.ts      lost answers and a new producer: written once all the same
 *   sink-security.ts   TLS, SASL, wrong credentials
 *   sink-fixture.ts    one cluster for all of it, and the lanes' way of sending
 */
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { SinkRecord } from '../../relay/sink/sink.ts'
import { readTopic, uniquePrefix } from '../support/kafka.ts'
import { faultOf, record, records, type SinkFixture, values } from './sink-fixture.ts'

export function describeSinkRecords(fixture: SinkFixture): void {
  const { cluster, connectedSink } = fixture

  async function topicWith(partitions: number, config: Record<string, string> = {}): Promise<string> {
    const topic = `${uniquePrefix()}.contract`
    await fixture.createTopic({ topic, partitions, replicationFactor: 3, config })
    return topic
  }

  describe('records', () => {
    test('batches of one partition stand in it whole and in order when send has resolved', async () => {
      const topic = await topicWith(3)
      const sink = await connectedSink()
      for (const batch of [records(500, 0), records(1, 500), records(499, 501)]) await sink.send(topic, 2, batch)
      const found = await readTopic(cluster().bootstrap, topic)
      expect(found.map(({ partition }) => partition)).toEqual(new Array(1_000).fill(2))
      expect(values(found)).toEqual(Array.from({ length: 1_000 }, (_, index) => index))
    })

    test('nothing to send is nothing sent', async () => {
      const topic = await topicWith(1)
      const sink = await connectedSink()
      await sink.send(topic, 0, [])
      await sink.send(topic, 0, records(2, 0))
      expect(values(await readTopic(cluster().bootstrap, topic))).toEqual([0, 1])
    })

    test('partitions are written at the same time, each in order', async () => {
      const topic = await topicWith(12)
      const sink = await connectedSink()
      const lanes = Array.from({ length: 12 }, async (_, partition) => {
        for (let batch = 0; batch < 8; batch++)
          await fixture.sendUntilDurable(sink, topic, partition, records(100, batch * 100))
      })
      await Promise.all(lanes)
      const found = await readTopic(cluster().bootstrap, topic)
      for (let partition = 0; partition < 12; partition++)
        expect(values(found.filter((one) => one.partition === partition))).toEqual(
          Array.from({ length: 800 }, (_, index) => index),
        )
    })

    test('key, value, time and headers are kept byte for byte: empty, unicode, odd names, in order', async () => {
      const topic = await topicWith(1)
      const sink = await connectedSink()
      const timestampMs = Date.now() - 86_400_000
      const headers: Record<string, string> = Object.create(null)
      headers['event_id'] = '0190a5f2-7a50-7c7e-b8a5-2f6c7b1d9e10'
      headers['a b'] = ''
      headers[''] = 'no name'
      headers['a=b:c,d'] = 'ключ 🔑'
      headers['täg'] = 'x'.repeat(200)
      headers['n'.repeat(300)] = '\u0000\n'
      headers['ü'.repeat(40)] = 'ö'.repeat(40)
      const odd: SinkRecord[] = [
        { key: Buffer.alloc(0), value: Buffer.from('no key'), headers, timestampMs },
        { key: Buffer.from('no value'), value: Buffer.alloc(0), headers: {}, timestampMs: timestampMs + 5 },
        { key: Buffer.from([0, 255]), value: Buffer.from('цена 5 €'), headers: {}, timestampMs: timestampMs - 70_000 },
      ]
      await sink.send(topic, 0, odd)
      const found = await readTopic(cluster().bootstrap, topic)
      expect(found.map(({ key, value, timestamp }) => ({ key, value, timestamp }))).toEqual(
        odd.map(({ key, value, timestampMs }) => ({ key, value, timestamp: timestampMs })),
      )
      expect(found[0]?.headers.map(([name, value]) => [name, String(value)])).toEqual(Object.entries(headers))
    })

    test('header names that JavaScript objects have of themselves are names like others', async () => {
      const topic = await topicWith(1)
      const sink = await connectedSink()
      const headers: Record<string, string> = Object.create(null)
      for (const name of ['__proto__', 'constructor', 'toString', 'event_id']) headers[name] = `its ${name}`
      await sink.send(topic, 0, [{ ...record(0), headers }])
      const [line] = await fixture.printWithJava(topic, 1)
      expect(line?.split('\t')[0]).toBe(
        '__proto__:its __proto__,constructor:its constructor,toString:its toString,event_id:its event_id',
      )
    })

    test('a record of 1 MB goes through', async () => {
      const topic = await topicWith(1)
      const sink = await connectedSink()
      const value = Buffer.alloc(1_000_000, 'a')
      await sink.send(topic, 0, [{ ...record(0), value }])
      expect((await readTopic(cluster().bootstrap, topic))[0]?.value?.equals(value)).toBe(true)
    })

    test('one that is too large is refused as such, and nothing of its batch is written', async () => {
      const topic = await topicWith(2, { 'max.message.bytes': '20000' })
      const sink = await connectedSink()
      await sink.send(topic, 0, records(10, 0))
      const large = { ...record(10), value: incompressible(30_000) }
      const others = Promise.all([0, 1, 2, 3].map((batch) => sink.send(topic, 1, records(1, batch)).then(() => batch)))
      expect(await faultOf(sink.send(topic, 0, [record(10), large]))).toMatchObject({
        kind: 'record',
        type: 'MESSAGE_TOO_LARGE',
      })
      await others
      // Its neighbours go on alone, as the lane sends them.
      await sink.send(topic, 0, [record(10)])
      expect(await faultOf(sink.send(topic, 0, [large]))).toMatchObject({ kind: 'record' })
      await sink.send(topic, 0, [record(11)])
      const found = await readTopic(cluster().bootstrap, topic)
      expect(values(found.filter(({ partition }) => partition === 0))).toEqual(Array.from({ length: 12 }, (_, i) => i))
    })

    test('a topic that is missing is said to be, by its metadata and by send', async () => {
      const sink = await connectedSink()
      const topic = `${uniquePrefix()}.missing`
      expect(await faultOf(sink.partitionCount(topic))).toMatchObject({ kind: 'topicMissing' })
      expect(await faultOf(sink.send(topic, 0, records(1, 0)))).toMatchObject({ kind: 'topicMissing' })
    })

    test('a topic is created once, also when asked twice, and may then be written', async () => {
      const sink = await connectedSink()
      const topic = `${uniquePrefix()}.created`
      await sink.createTopic(topic, 3, 2)
      await sink.createTopic(topic, 3, 2)
      await expect.poll(() => sink.partitionCount(topic).catch(() => 0)).toBe(3)
      await fixture.sendUntilDurable(sink, topic, 2, records(2, 0))
      expect(await readTopic(cluster().bootstrap, topic)).toHaveLength(2)
    })

    test('a topic that cannot be created says why', async () => {
      const sink = await connectedSink()
      expect(await faultOf(sink.createTopic(`${uniquePrefix()}.wide`, 1, 9))).toMatchObject({
        kind: 'configuration',
        type: 'INVALID_REPLICATION_FACTOR',
      })
    })

    test('a partition that is not there is refused, and nothing is written', async () => {
      const topic = await topicWith(2)
      const sink = await connectedSink()
      expect(await sink.partitionCount(topic)).toBe(2)
      await sink.send(topic, 1, records(1, 0))
      expect(await faultOf(sink.send(topic, 99, records(1, 1)))).toMatchObject({ type: 'UNKNOWN_PARTITION' })
      expect(await readTopic(cluster().bootstrap, topic)).toHaveLength(1)
    })

    test('records that may not leave any more when their turn comes are not written', async () => {
      const topic = await topicWith(1)
      const sink = await connectedSink()
      await sink.send(topic, 0, records(1, 0), () => true)
      expect(await faultOf(sink.send(topic, 0, records(1, 1), () => false))).toMatchObject({ type: 'HELD_BACK' })
      await sink.send(topic, 0, records(1, 2))
      expect(values(await readTopic(cluster().bootstrap, topic))).toEqual([0, 2])
    })

    test('partitions that were added are seen and written', async () => {
      const topic = await topicWith(1)
      const sink = await connectedSink()
      await sink.send(topic, 0, records(1, 0))
      await fixture.addPartitions(topic, 4)
      await expect.poll(() => sink.partitionCount(topic)).toBe(4)
      await fixture.sendUntilDurable(sink, topic, 3, records(1, 1))
      expect((await readTopic(cluster().bootstrap, topic)).map(({ partition }) => partition)).toEqual([0, 3])
    })

    test('a topic is read back from its beginning to its end', async () => {
      const topic = await topicWith(2)
      const sink = await connectedSink()
      await sink.send(topic, 0, records(300, 0))
      await sink.send(topic, 1, records(2, 300))
      const found: number[] = []
      await sink.readAll?.(topic, ({ value, partition, headers, key, offset }) => {
        const number = Number(JSON.parse(String(value)).n)
        expect({ partition, key: String(key), id: headers['event_id'], offset }).toEqual({
          partition: number < 300 ? 0 : 1,
          key: `key-${number % 7}`,
          id: `id-${number}`,
          offset: BigInt(number % 300),
        })
        found.push(number)
      })
      expect(found.sort((a, b) => a - b)).toEqual(Array.from({ length: 302 }, (_, index) => index))
    })
  })

  describe('codecs', () => {
    test.each(fixture.codecs)('%s: what is written is read by kafkajs and by Java, and is smaller', async (codec) => {
      const topic = await topicWith(1)
      const sink = await connectedSink({ compression: codec })
      for (let batch = 0; batch < 3; batch++) await sink.send(topic, 0, records(200, batch * 200))
      // Smaller than its compressed form would be: must come through, too.
      await sink.send(topic, 0, [
        { key: Buffer.alloc(0), value: Buffer.from('{"n":600}'), headers: {}, timestampMs: 1 },
      ])
      const expected = Array.from({ length: 601 }, (_, index) => index)
      expect(values(await readTopic(cluster().bootstrap, topic))).toEqual(expected)
      const lines = await fixture.printWithJava(topic, 601)
      expect(lines.map((line) => JSON.parse(line.slice(line.indexOf('{'))).n)).toEqual(expected)
      expect(lines[7]).toContain('event_id:id-7')
      const size = await fixture.logBytes(topic)
      const plain = 601 * record(0).value.length
      if (codec === 'none') expect(size).toBeGreaterThan(plain)
      else expect(size).toBeLessThan(plain / 2)
    })
  })
}

/** Random bytes: no codec makes them small. */
function incompressible(length: number): Buffer {
  const parts = Array.from({ length: Math.ceil(length / 32) }, (_, part) =>
    createHash('sha256').update(`${part}`).digest(),
  )
  return Buffer.concat(parts)
}
