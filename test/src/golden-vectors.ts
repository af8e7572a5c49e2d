import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

// The recorded vectors of test/golden, as test/golden/README.md describes them.

export interface DecodedVector {
  readonly id: string
  readonly aggregate_type: string
  readonly aggregate_id: string
  readonly event_type: string
  readonly payload_hex?: string
  readonly payload_len: number
  readonly created_at: string
  readonly metadata: Record<string, string>
  readonly trace_info: {
    readonly trace_id: string
    readonly span_id: string
    readonly metadata: Record<string, string>
  } | null
}

export interface EmittedVector {
  readonly name: string
  readonly prefix: string
  readonly input: {
    readonly payload_generator?: string
    readonly payload_sha256?: string
    readonly payload_len: number
  }
  readonly bytes_hex?: string
  readonly bytes_len: number
  readonly bytes_sha256: string
  readonly decoded: DecodedVector
}

export interface ErrorVector {
  readonly name: string
  readonly error?: string | null
  readonly result?: unknown
}

export function readGolden<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(`../golden/${file}`, import.meta.url), 'utf8'))
}

export const python = readGolden<{ vectors: EmittedVector[]; errors: ErrorVector[] }>('python.json')
export const go = readGolden<{ vectors: EmittedVector[]; errors: ErrorVector[] }>('go.json')

export interface DerivedVector {
  readonly name: string
  readonly system_id: string
  readonly message_lsn: string
  readonly prefix: string
  readonly content_hex: string
  readonly id: string
  readonly value_hex: string
  readonly form: 'prepended' | 'appended'
}
export const derived = readGolden<{ vectors: DerivedVector[] }>('derived-id.json').vectors

export interface RecordVector {
  readonly name: string
  readonly emitted_bytes_hex?: string
  readonly emitted_decoded: DecodedVector | { readonly decode_error: string }
}
export const owlpost = readGolden<{ vectors: RecordVector[] }>('owlpost-records.json').vectors

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
