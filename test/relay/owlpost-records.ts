import { readFileSync } from 'node:fs'

/** One record that OwlPost produced. `value_hex` is absent where it is too long to record. */
export interface OwlpostRecord {
  readonly topic: string
  readonly partition: number
  readonly num_partitions: number
  readonly key_hex: string
  readonly value_hex?: string | null
  readonly value_sha256: string
  readonly value_len: number
  readonly headers: Readonly<Record<string, string>>
  readonly murmur2: number
}

/** An emission, and what OwlPost made of it: no record where it dropped it. */
export interface OwlpostVector {
  readonly name: string
  readonly prefix: string
  readonly transactional: boolean
  /** null where it is too long, or has no bytes at all: see `emitted_len`. */
  readonly emitted_bytes_hex: string | null
  readonly emitted_len: number
  readonly emitted_sha256: string
  readonly emitted_decoded:
    | {
        readonly id: string
        readonly aggregate_type: string
        readonly aggregate_id: string
        readonly event_type: string
        readonly created_at: string
      }
    | { readonly decode_error: string }
  /** In words, where the bytes are too long to record. */
  readonly payload_generator?: string
  readonly message_lsn: string
  readonly records: readonly OwlpostRecord[]
}

export const owlpostRecords: readonly OwlpostVector[] = JSON.parse(
  readFileSync(new URL('../golden/owlpost-records.json', import.meta.url), 'utf8'),
).vectors
