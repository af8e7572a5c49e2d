import { varintBytes, writeText, writeVarint } from '../record-bytes.ts'
import type { PreparedFields, SinkRecord } from '../sink/sink.ts'

// Records as they stand in a batch of Kafka's format 2 (https://kafka.apache.org/documentation/#record):
//
//   ( length varint · attributes int8 · timestampDelta varlong · offsetDelta varint · key · value · headers )*
//
// One pass into one buffer that is used again and again: a third of the cost of a client that builds a record from parts.

/** More than any varint of 32 bits, several times: lengths, deltas and counts of one record. */
const RECORD_OVERHEAD_BYTES = 40
const HEADER_OVERHEAD_BYTES = 10
const FIRST_BYTES = 64 * 1024
/** A buffer larger than this is given back after use, so that one 100 MB fact does not stay for ever. */
const KEEP_BYTES = 2 * 1024 * 1024
/** Header names are few; metadata of callers could make them many. */
const NAMES_KEPT = 1_000

/** Writes records into a buffer of its own; synchronous and without any client. */
export class RecordsWriter {
  readonly #names = new Map<string, Buffer>()
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES)

  /** Another one whenever a write had to make room; what was written stands in it, too. */
  get bytes(): Buffer {
    return this.#bytes
  }

  /**
   * Writes records one after the other. Their timestamps are relative to that of the first.
   *
   * @param at leaves the bytes before it as they are, and free where there are none yet.
   * @returns the position after the last record.
   */
  write(records: readonly SinkRecord[], at: number): number {
    const base = records[0]?.timestampMs ?? 0
    let pos = at
    if (pos > this.#bytes.length) this.#grow(this.#bytes.length, pos - this.#bytes.length)
    for (let i = 0; i < records.length; i++) {
      const record = records[i] as SinkRecord
      pos = record.prepared
        ? this.#copyPrepared(record.prepared, pos, record.timestampMs - base, i)
        : this.#writeRecord(record, pos, record.timestampMs - base, i)
    }
    return pos
  }

  /** What was written is not needed any more. */
  reset(): void {
    if (this.#bytes.length > KEEP_BYTES) this.#bytes = Buffer.allocUnsafeSlow(FIRST_BYTES)
  }

  #writeRecord({ key, value, headers }: SinkRecord, at: number, timestampDelta: number, offsetDelta: number): number {
    const names = Object.keys(headers)
    // If every header is ASCII this is the size; with other characters it is too small, at most by a factor of three.
    let guess = 8 + key.length + value.length
    let most = guess + RECORD_OVERHEAD_BYTES
    for (const name of names) {
      const length = name.length + (headers[name] as string).length
      guess += length + 2
      most += 3 * length + HEADER_OVERHEAD_BYTES
    }
    if (at + most > this.#bytes.length) this.#grow(at, most)
    const bytes = this.#bytes
    const start = at + varintBytes(guess)
    let pos = start
    bytes[pos++] = 0
    pos = writeVarint(bytes, pos, timestampDelta)
    pos = writeVarint(bytes, pos, offsetDelta)
    pos = writeVarint(bytes, pos, key.length)
    bytes.set(key, pos)
    pos = writeVarint(bytes, pos + key.length, value.length)
    bytes.set(value, pos)
    pos = writeVarint(bytes, pos + value.length, names.length)
    for (const name of names) {
      const encoded = this.#encodedName(name)
      bytes.set(encoded, pos)
      pos = writeText(bytes, pos + encoded.length, headers[name] as string)
    }
    return this.#closeRecord(at, start, pos)
  }

  #copyPrepared({ slab, start, end }: PreparedFields, at: number, timestampDelta: number, offsetDelta: number): number {
    const most = end - start + RECORD_OVERHEAD_BYTES
    if (at + most > this.#bytes.length) this.#grow(at, most)
    const bytes = this.#bytes
    // Deltas of a batch are small: their place is known before they are written.
    const deltas = at + varintBytes(end - start + 12)
    bytes[deltas] = 0
    let pos = writeVarint(bytes, deltas + 1, timestampDelta)
    pos = writeVarint(bytes, pos, offsetDelta)
    pos += slab.copy(bytes, pos, start, end)
    return this.#closeRecord(at, deltas, pos)
  }

  /** Writes the length of a record before it, and moves it where its length took another number of bytes than was left. */
  #closeRecord(at: number, start: number, end: number): number {
    const length = end - start
    const begin = at + varintBytes(length)
    if (begin !== start) this.#bytes.copyWithin(begin, start, end)
    writeVarint(this.#bytes, at, length)
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
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, used + needed))
    larger.set(this.#bytes.subarray(0, used))
    this.#bytes = larger
  }
}
