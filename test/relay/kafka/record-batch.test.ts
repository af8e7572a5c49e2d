import { createRequire } from 'node:module'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RecordBatchEncoder } from '../../../relay/kafka/record-batch.ts'
import type { SinkRecord } from '../../../relay/sink/sink.ts'
import { anyRecord } from './any-record.ts'

// The oracle is kafkajs' own encoder of the same format: slow, and right.
const require = createRequire(import.meta.url)
const { RecordBatch: kafkajsBatch } = require('kafkajs/src/protocol/recordBatch/v0') as {
  RecordBatch(batch: object): Promise<{ buffer: Buffer }>
}
const kafkajsRecord = require('kafkajs/src/protocol/recordBatch/record/v0') as (record: object) => unknown
const crc32c = require('kafkajs/src/protocol/recordBatch/crc32C') as (bytes: Buffer) => number

async function oracle(
  records: readonly SinkRecord[],
  producerId: bigint,
  epoch: number,
  sequence: number,
): Promise<Buffer> {
  const first = records[0]!.timestampMs
  const { buffer } = await kafkajsBatch({
    compression: 0,
    firstTimestamp: first,
    maxTimestamp: Math.max(...records.map(({ timestampMs }) => timestampMs)),
    producerId: String(producerId),
    producerEpoch: epoch,
    firstSequence: sequence,
    partitionLeaderEpoch: -1,
    lastOffsetDelta: records.length - 1,
    records: records.map(({ key, value, headers, timestampMs }, offsetDelta) =>
      kafkajsRecord({ offsetDelta, timestampDelta: timestampMs - first, key, value, headers }),
    ),
  })
  return buffer
}

const text = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'grapheme', maxLength: 80 }),
  fc.string({ unit: fc.constantFrom('a', 'ü', '🔑'), minLength: 55, maxLength: 75 }),
)
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 10 }),
  fc.uint8Array({ minLength: 50, maxLength: 9_000, size: 'max' }),
)
const record = anyRecord({ text, bytes, mostHeaders: 6, after: fc.integer() })

describe('the encoder of record batches', () => {
  const encoder = new RecordBatchEncoder({ crc32c })

  test('writes byte for byte what kafkajs writes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(record, { minLength: 1, maxLength: 12 }),
        fc.bigInt(0n, 2n ** 62n),
        fc.integer({ min: 0, max: 32_767 }),
        fc.integer({ min: 0, max: 2 ** 31 - 1 }),
        async (records, id, epoch, sequence) => {
          const mine = Buffer.from(encoder.encode(records, { id, epoch }, sequence))
          expect(mine.equals(await oracle(records, id, epoch, sequence))).toBe(true)
        },
      ),
      { numRuns: 150 },
    )
  })

  test('lengths at the edges of their varints, and times far apart', async () => {
    const at = (length: number, timestampMs: number, header: string): SinkRecord => ({
      key: Buffer.alloc(0),
      value: Buffer.alloc(length),
      headers: { [header]: header },
      timestampMs,
    })
    const lengths = [40, 41, 42, 43, 44, 45, 8_170, 8_171, 8_172, 8_173, 8_174, 8_175, 8_176, 1_048_550, 1_048_560]
    const headers = ['', 'a'.repeat(63), 'a'.repeat(64), 'ü'.repeat(32), 'ü'.repeat(2_000)]
    const records = lengths.flatMap((length) =>
      headers.map((header, index) => at(length, [0, 1_760_000_000_000, 2 ** 31, 5, 63][index]!, header)),
    )
    const mine = Buffer.from(encoder.encode(records, { id: 7n, epoch: 0 }, 3))
    expect(mine.equals(await oracle(records, 7n, 0, 3))).toBe(true)
  })

  test('a codec that does not make it smaller is not used', () => {
    const compression = { codec: 'lz4', compress: (raw: Buffer) => Buffer.concat([raw, raw]) } as const
    const larger = new RecordBatchEncoder({ crc32c, compression })
    const records = [{ key: Buffer.from('k'), value: Buffer.from('v'), headers: {}, timestampMs: 5 }]
    const plain = Buffer.from(encoder.encode(records, { id: 1n, epoch: 0 }, 0))
    expect(Buffer.from(larger.encode(records, { id: 1n, epoch: 0 }, 0)).equals(plain)).toBe(true)
  })
})
