import { varintBytes, writeText, writeVarint } from '../record-bytes.ts'
import type { PreparedFields, SinkRecord } from '../sink/sink.ts'

// Records → one record batch of Kafka's format 2 (https://kafka.apache.org/documentation/#recordbatch):
//
//   baseOffset int64 · batchLength int32 · partitionLeaderEpoch int32 · magic int8 · crc uint32
//   · attributes int16 · lastOffsetDelta int32 · baseTimestamp int64 · maxTimestamp int64
//   · producerId int64 · producerEpoch int16 · baseSequence int32 · recordCount int32 · records
//
//   record: length varint · attributes int8 · timestampDelta varlong · offsetDelta varint · key · value · headers
//
// One pass into one buffer that is used again and again: a third of the cost of a client that builds a record from parts.

/** Bytes before the records. */
export const BATCH_HEADER_BYTES = 61
const CRC_AT = 17
const ATTRIBUTES_AT = 21
/** More than any varint of 32 bits, several times: lengths, deltas and counts of one record. */
const RECORD_OVERHEAD_BYTES = 40
const HEADER_OVERHEAD_BYTES = 10
/** A scratch larger than this is given back after a batch, so that one 100 MB fact does not stay for ever. */
const KEEP_SCRATCH_BYTES = 2 * 1024 * 1024
/** Header names are few; metadata of callers could make them many. */
const NAMES_KEPT = 1_000

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
  readonly #names = new Map<string, Buffer>()
  #scratch = Buffer.allocUnsafeSlow(64 * 1024)
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
    if (this.#scratch.length > KEEP_SCRATCH_BYTES) this.#scratch = Buffer.allocUnsafeSlow(64 * 1024)
  }

  /** @returns the batch; valid until the next reset. */
  encode(records: readonly SinkRecord[], producer: BatchProducer, baseSequence: number): Buffer {
    const begin = this.#used
    const end = this.#writeRecords(records)
    let batch = this.#scratch.subarray(begin, end)
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
    const first = records[0]?.timestampMs ?? 0
    let latest = first
    for (const { timestampMs } of records) if (timestampMs > latest) latest = timestampMs
    batch.writeBigInt64BE(0n, 0)
    batch.writeInt32BE(batch.length - 12, 8)
    batch.writeInt32BE(-1, 12)
    batch.writeInt8(2, 16)
    batch.writeInt16BE(CODEC_IDS[codec], ATTRIBUTES_AT)
    batch.writeInt32BE(records.length - 1, 23)
    batch.writeBigInt64BE(BigInt(first), 27)
    batch.writeBigInt64BE(BigInt(latest), 35)
    batch.writeBigInt64BE(producer.id, 43)
    batch.writeInt16BE(producer.epoch, 51)
    batch.writeInt32BE(baseSequence, 53)
    batch.writeInt32BE(records.length, 57)
    batch.writeUInt32BE(this.#crc32c(batch.subarray(ATTRIBUTES_AT)), CRC_AT)
    this.#used = begin + batch.length
    return batch
  }

  #writeRecords(records: readonly SinkRecord[]): number {
    const base = records[0]?.timestampMs ?? 0
    let at = this.#used + BATCH_HEADER_BYTES
    if (at > this.#scratch.length) this.#grow(this.#used, BATCH_HEADER_BYTES)
    for (let i = 0; i < records.length; i++) {
      const record = records[i] as SinkRecord
      if (record.prepared) {
        at = this.#copyPrepared(record.prepared, at, record.timestampMs - base, i)
        continue
      }
      const { key, value, headers } = record
      const names = Object.keys(headers)
      // If every header is ASCII this is the size; with other characters it is too small, at most by a factor of three.
      let guess = 8 + key.length + value.length
      let most = guess + RECORD_OVERHEAD_BYTES
      for (const name of names) {
        const length = name.length + (headers[name] as string).length
        guess += length + 2
        most += 3 * length + HEADER_OVERHEAD_BYTES
      }
      if (at + most > this.#scratch.length) this.#grow(at, most)
      const scratch = this.#scratch
      const start = at + varintBytes(guess)
      let pos = start
      scratch[pos++] = 0
      pos = writeVarint(scratch, pos, record.timestampMs - base)
      pos = writeVarint(scratch, pos, i)
      pos = writeVarint(scratch, pos, key.length)
      scratch.set(key, pos)
      pos = writeVarint(scratch, pos + key.length, value.length)
      scratch.set(value, pos)
      pos = writeVarint(scratch, pos + value.length, names.length)
      for (const name of names) {
        const encoded = this.#encodedName(name)
        scratch.set(encoded, pos)
        pos = writeText(scratch, pos + encoded.length, headers[name] as string)
      }
      at = this.#closeRecord(at, start, pos)
    }
    return at
  }

  #copyPrepared({ slab, start, end }: PreparedFields, at: number, timestampDelta: number, offsetDelta: number): number {
    const most = end - start + RECORD_OVERHEAD_BYTES
    if (at + most > this.#scratch.length) this.#grow(at, most)
    const scratch = this.#scratch
    // Deltas of a batch are small: their place is known before they are written.
    const deltas = at + varintBytes(end - start + 12)
    scratch[deltas] = 0
    let pos = writeVarint(scratch, deltas + 1, timestampDelta)
    pos = writeVarint(scratch, pos, offsetDelta)
    pos += slab.copy(scratch, pos, start, end)
    return this.#closeRecord(at, deltas, pos)
  }

  /** Writes the length of a record before it, and moves it where its length took another number of bytes than was left. */
  #closeRecord(at: number, start: number, end: number): number {
    const length = end - start
    const begin = at + varintBytes(length)
    if (begin !== start) this.#scratch.copyWithin(begin, start, end)
    writeVarint(this.#scratch, at, length)
    return begin + length
  }

  /** Length and UTF-8 of a header's name. */
  #encodedName(name: string): Buffer {
    let encoded = this.#names.get(name)
    if (encoded === undefined) {
      if (this.#names.size >= NAMES_KEPT) this.#names.clear()
      const room = Buffer.alloc(3 * name.length + HEADER_OVERHEAD_BYTES)
      encoded = Buffer.from(room.subarray(0, writeText(room, 0, name)))
      this.#names.set(name, encoded)
    }
    return encoded
  }

  #grow(used: number, needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#scratch.length, used + needed))
    larger.set(this.#scratch.subarray(0, used))
    this.#scratch = larger
  }
}
