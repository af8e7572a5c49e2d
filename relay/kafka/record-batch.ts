import type { SinkRecord } from '../sink/sink.ts'
import { RecordsWriter } from './records-writer.ts'

// Records → one record batch of Kafka's format 2 (https://kafka.apache.org/documentation/#recordbatch):
//
//   baseOffset int64 · batchLength int32 · partitionLeaderEpoch int32 · magic int8 · crc uint32
//   · attributes int16 · lastOffsetDelta int32 · baseTimestamp int64 · maxTimestamp int64
//   · producerId int64 · producerEpoch int16 · baseSequence int32 · recordCount int32 · records (records-writer.ts)

/** Bytes before the records. */
export const BATCH_HEADER_BYTES = 61
const CRC_AT = 17
const ATTRIBUTES_AT = 21

export type Codec = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
export const CODEC_IDS: Readonly<Record<Codec, number>> = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }

export interface BatchProducer {
  readonly id: bigint
  readonly epoch: number
}

/** Writes batches, one after the other into one buffer until it is reset; synchronous and without any client. */
export class RecordBatchEncoder {
  readonly #crc32c: (bytes: Buffer) => number
  readonly #compress: { readonly codec: Codec; compress(bytes: Buffer): Uint8Array } | undefined
  readonly #writer = new RecordsWriter()
  /** End of the batches that are still wanted. */
  #used = 0

  constructor(options: {
    readonly crc32c: (bytes: Buffer) => number
    /** Absent: no compression. */
    readonly compression?: { readonly codec: Codec; compress(bytes: Buffer): Uint8Array } | undefined
  }) {
    this.#crc32c = options.crc32c
    this.#compress = options.compression
  }

  /** The batches so far are not needed any more; their bytes are written over. */
  reset(): void {
    this.#used = 0
    this.#writer.reset()
  }

  /** @returns the batch; valid until the next reset. */
  encode(records: readonly SinkRecord[], producer: BatchProducer, baseSequence: number): Buffer {
    const begin = this.#used
    const end = this.#writer.write(records, begin + BATCH_HEADER_BYTES)
    let batch = this.#writer.bytes.subarray(begin, end)
    let codec: Codec = 'none'
    if (this.#compress) {
      const plain = batch.subarray(BATCH_HEADER_BYTES)
      const smaller = this.#compress.compress(plain)
      if (smaller.length < plain.length) {
        codec = this.#compress.codec
        batch = batch.subarray(0, BATCH_HEADER_BYTES + smaller.length)
        batch.set(smaller, BATCH_HEADER_BYTES)
      }
    }
    batch.writeBigInt64BE(0n, 0)
    batch.writeInt32BE(batch.length - 12, 8)
    batch.writeInt32BE(-1, 12)
    batch.writeInt8(2, 16)
    batch.writeInt16BE(CODEC_IDS[codec], ATTRIBUTES_AT)
    batch.writeInt32BE(records.length - 1, 23)
    batch.writeBigInt64BE(BigInt(records[0]?.timestampMs ?? 0), 27)
    batch.writeBigInt64BE(BigInt(latestTimestampMs(records)), 35)
    batch.writeBigInt64BE(producer.id, 43)
    batch.writeInt16BE(producer.epoch, 51)
    batch.writeInt32BE(baseSequence, 53)
    batch.writeInt32BE(records.length, 57)
    batch.writeUInt32BE(this.#crc32c(batch.subarray(ATTRIBUTES_AT)), CRC_AT)
    this.#used = begin + batch.length
    return batch
  }
}

/** Kafka finds records by time through it. */
export function latestTimestampMs(records: readonly SinkRecord[]): number {
  let latest = records[0]?.timestampMs ?? 0
  for (const { timestampMs } of records) if (timestampMs > latest) latest = timestampMs
  return latest
}
