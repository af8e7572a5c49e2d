import { createRequire } from 'node:module'
import fc from 'fast-check'
import type { Message, RecordMetadata } from 'kafkajs'
import { describe, expect, test } from 'vitest'
import { codecs } from '../../../relay/kafka/kafkajs-client.ts'
import { EncodedBatches } from '../../../relay/kafka/kafkajs-encoded.ts'
import type { SinkRecord } from '../../../relay/sink/sink.ts'
import { anyRecord } from './any-record.ts'

// The oracle is kafkajs with plain messages: its own Produce request, and its own decoder of what is in it.
const require = createRequire(import.meta.url)
const produceRequest = require('kafkajs/src/protocol/requests/produce/v7/request') as (request: object) => {
  encode(): Promise<{ readonly buffer: Buffer }>
}
const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder') as (decoder: unknown) => Promise<object>
const Decoder = require('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => unknown
/** Topic `t`, one partition. */
const BYTES_BEFORE_BATCH = 2 + 2 + 4 + 4 + 3 + 4 + 4 + 4

type Produced = { readonly messages: readonly Message[]; readonly compression?: number }

async function requestOf({ messages, compression = 0 }: Produced): Promise<Buffer> {
  const partitions = [{ partition: 3, firstSequence: 41, messages }]
  const topicData = [{ topic: 't', partitions }]
  const request = produceRequest({ acks: -1, timeout: 6_000, compression, topicData, producerId: 7, producerEpoch: 1 })
  return (await request.encode()).buffer
}

function plainMessages(records: readonly SinkRecord[]): Message[] {
  return records.map(({ key, value, headers, timestampMs }) => ({
    key,
    value,
    headers: headers as Record<string, string>,
    partition: 3,
    timestamp: String(timestampMs),
  }))
}

/** What kafkajs would put on the wire for these records, given to it already encoded. */
async function encodedRequest(records: readonly SinkRecord[], compression: 'none' | 'gzip'): Promise<Buffer> {
  const batch = new EncodedBatches(compression).open(3, records)
  let request: Buffer | undefined
  const send = async (produced: Produced): Promise<RecordMetadata[]> => {
    request = await requestOf(produced)
    return [{ topicName: 't', partition: 3, errorCode: 0 }]
  }
  await batch.send({ send }, 't')
  return request as Buffer
}

function decode(request: Buffer): Promise<object> {
  return decodeBatch(new Decoder(request.subarray(BYTES_BEFORE_BATCH)))
}

const text = fc.oneof(fc.string({ maxLength: 20 }), fc.string({ unit: 'grapheme', maxLength: 80 }))
const bytes = fc.uint8Array({ maxLength: 400, size: 'max' })
const record = anyRecord({ text, bytes, mostHeaders: 4, after: fc.nat() })
const batchOf = fc.array(record, { minLength: 1, maxLength: 8 })

describe('records that kafkajs carries encoded', () => {
  test.each(['none', 'gzip'] as const)('%s: the request is byte for byte the one of plain messages', async (codec) => {
    await fc.assert(
      fc.asyncProperty(batchOf, async (some) => {
        // Where the first is not the earliest, kafkajs counts times from another one.
        const records = [...some].sort((a, b) => a.timestampMs - b.timestampMs)
        const plain = await requestOf({ messages: plainMessages(records), compression: codec === 'none' ? 0 : 1 })
        expect((await encodedRequest(records, codec)).equals(plain)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  test('times in any order say the same', async () => {
    await fc.assert(
      fc.asyncProperty(batchOf, async (records) => {
        const mine = await decode(await encodedRequest(records, 'none'))
        const plain = await decode(await requestOf({ messages: plainMessages(records) }))
        expect(timesAndRecords(mine)).toEqual(timesAndRecords(plain))
      }),
      { numRuns: 60 },
    )
  })

  test('times with fewer digits, which kafkajs would order as texts, are kept', async () => {
    const at = (timestampMs: number) => ({ key: Buffer.from('k'), value: Buffer.from('v'), headers: {}, timestampMs })
    for (const times of [[9, 10], [10, 9], [1], [0, 1_760_000_000_000, 5]]) {
      const { records, maxTimestamp } = timesAndRecords(await decode(await encodedRequest(times.map(at), 'none')))
      expect(records.map(({ timestamp }) => Number(timestamp))).toEqual(times)
      expect(Number(maxTimestamp)).toBe(Math.max(...times))
    }
  })

  test('each batch has a number of its own, and leaves nothing behind', async () => {
    const before = Object.keys(codecs).length
    const batches = new EncodedBatches('gzip')
    const records = [{ key: Buffer.from('k'), value: Buffer.from('v'), headers: {}, timestampMs: 1 }]
    const [first, second] = [batches.open(0, records), batches.open(0, records)]
    expect(Object.keys(codecs)).toHaveLength(before + 2)
    first.close()
    const third = batches.open(0, records)
    const numbers: number[] = []
    const send = async ({ compression = 0 }: Produced): Promise<never> => {
      numbers.push(compression)
      throw new Error('refused')
    }
    for (const batch of [second, third]) await expect(batch.send({ send }, 't')).rejects.toThrow('refused')
    expect(new Set(numbers)).toHaveLength(2)
    expect(numbers.map((number) => number & 7)).toEqual([1, 1])
    expect(Object.keys(codecs)).toHaveLength(before)
  })

  test('buffers are used again, but not as many are kept as were once needed together', async () => {
    const batches = new EncodedBatches('none')
    const records = [{ key: Buffer.from('k'), value: Buffer.from('v'), headers: {}, timestampMs: 1 }]
    const together = async () => {
      const buffers = new Set<ArrayBufferLike>()
      const encoded: Promise<void>[] = []
      const send = async ({ compression = 0 }: Produced): Promise<RecordMetadata[]> => {
        const asked = codecs[compression]?.().compress({ buffer: Buffer.alloc(0) })
        encoded.push(Promise.resolve(asked).then((bytes) => void buffers.add((bytes as Buffer).buffer)))
        await new Promise((resolve) => setImmediate(resolve))
        return []
      }
      await Promise.all(Array.from({ length: 40 }, () => batches.open(0, records).send({ send }, 't')))
      await Promise.all(encoded)
      return buffers
    }
    const [first, second] = [await together(), await together()]
    expect([first.size, second.size]).toEqual([40, 40])
    const again = [...second].filter((buffer) => first.has(buffer)).length
    expect(again).toBeGreaterThan(0)
    expect(again).toBeLessThanOrEqual(8)
  })

  // Measured: 0.37 to 0.55, by how warm the process is.
  test('costs far less CPU than plain messages', async () => {
    const headers = { event_id: '0190a5f2-7a50-7c7e-b8a5-2f6c7b1d9e10', event_type: 'order.paid', LSN: '0/15E8A90' }
    const records = Array.from({ length: 500 }, (_, n) => ({
      key: Buffer.from(`key ${n}`),
      value: Buffer.alloc(287, n),
      headers,
      timestampMs: 1_760_000_000_000,
    }))
    const [encoded, plain] = await leastCpuMicros([
      () => encodedRequest(records, 'none'),
      () => requestOf({ messages: plainMessages(records) }),
    ])
    expect(encoded / plain).toBeLessThan(0.75)
  })
})

function timesAndRecords(batch: object) {
  const { records, maxTimestamp } = batch as {
    readonly maxTimestamp: string
    readonly records: readonly {
      key: Buffer
      value: Buffer
      headers: Record<string, Buffer>
      timestamp: string
      offset: string
    }[]
  }
  return {
    maxTimestamp,
    records: records.map(({ key, value, headers, timestamp, offset }) => ({
      key: key.toString('hex'),
      value: value.toString('hex'),
      headers: Object.entries(headers).map(([name, bytes]) => [name, String(bytes)]),
      timestamp,
      offset,
    })),
  }
}

/** Of each, the least of several turns: what else the machine does only adds. */
async function leastCpuMicros<const Works extends readonly (() => Promise<unknown>)[]>(
  works: Works,
): Promise<{ [At in keyof Works]: number }> {
  const least = works.map(() => Number.POSITIVE_INFINITY)
  for (let turn = 0; turn < 10; turn++)
    for (const [index, work] of works.entries()) {
      const before = process.cpuUsage()
      for (let time = 0; time < 5; time++) await work()
      const { user, system } = process.cpuUsage(before)
      least[index] = Math.min(least[index] as number, user + system)
    }
  return least as { [At in keyof Works]: number }
}
