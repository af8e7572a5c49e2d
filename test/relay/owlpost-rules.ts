import { createHash } from 'node:crypto'
import { expect } from 'vitest'
import { decodeFact } from '../../src/envelope/decode.ts'
import { deriveFactId } from '../../src/fact-id.ts'
import type { OwlpostRecord, OwlpostVector } from './owlpost-records.ts'

// How our records differ from OwlPost's for the same emitted bytes (CONTRACT.md, "Records"): by these rules and nothing else.

/** What became of an emission, as the relay made it. */
export interface OurRecord {
  readonly topic: string
  readonly partition: number
  readonly key: Buffer
  readonly value: Buffer
  readonly headers: Readonly<Record<string, string>>
}

/** Where the emission stands; from the server, not from the relay. */
export interface Emission {
  readonly systemId: bigint
  readonly messageLsn: bigint
  readonly prefix: string
  readonly content: Buffer
  /** Undefined for a non-transactional message. */
  readonly commitTimeMicros: bigint | undefined
}

/** OwlPost produces these to `<prefix>.`; without an aggregate type there is no topic, so for us they are malformed. */
export const WITHOUT_TOPIC = ['raw_empty_bytes', 'py_aggtype_empty']
/** OwlPost drops these; nothing else of them is a fact, so for us they are malformed. */
export const MALFORMED = ['raw_malformed_ff', 'raw_invalid_utf8_id', 'raw_json']
/** OwlPost drops these; for us they wait until Kafka takes them. */
export const HELD = [
  'py_aggtype_space',
  'py_aggtype_slash',
  'py_aggtype_unicode',
  'py_aggtype_missing_topic',
  'py_aggtype_250_chars',
  'py_payload_1MiB_compressible',
]
/** Of other prefixes: neither relays them. */
export const FOREIGN = ['py_other_prefix', 'py_prefix_case', 'py_prefix_longer', 'raw_empty_prefix']
/** Random bytes of which only the hash was recorded: they cannot be emitted again. */
export const NOT_RECORDED = ['py_payload_900k_random', 'py_payload_1MiB']
/** The value is the emitted bytes; OwlPost encodes them again, which moves unknown fields and drops explicit defaults. */
const BYTES_KEPT = ['raw_unknown_field_start', 'raw_explicit_defaults']

/** The emitted bytes; the long ones are made again and held against their recorded hash. */
export function emittedBytes(vector: OwlpostVector): Buffer {
  if (vector.emitted_bytes_hex) return Buffer.from(vector.emitted_bytes_hex, 'hex')
  if (vector.emitted_len === 0) return Buffer.alloc(0)
  const repeated = /^0x61 repeated (\d+) times$/.exec(vector.payload_generator ?? '')
  if (!repeated || 'decode_error' in vector.emitted_decoded) throw new Error(`${vector.name} cannot be made again`)
  const { aggregate_type, aggregate_id, event_type, created_at } = vector.emitted_decoded
  const payload = Buffer.alloc(Number(repeated[1]), 0x61)
  const content = Buffer.concat([
    ...[aggregate_type, aggregate_id, event_type].flatMap((text, i) => [
      Buffer.from([0x12 + 8 * i, text.length]),
      Buffer.from(text),
    ]),
    Buffer.from([0x2a]),
    varint(BigInt(payload.length)),
    payload,
    Buffer.from([0x30]),
    varint(BigInt(created_at)),
    Buffer.from([0x42, 0]),
  ])
  expect(createHash('sha256').update(content).digest('hex')).toBe(vector.emitted_sha256)
  return content
}

/** Holds our record against OwlPost's. `topicOf` tells what a topic of the recording is called in this test. */
export function expectAsOwlpost(
  vector: OwlpostVector,
  ours: OurRecord,
  emission: Emission,
  topicOf: (topic: string) => string = (topic) => topic,
): void {
  const theirs = vector.records[0] as OwlpostRecord
  const noId = !('decode_error' in vector.emitted_decoded) && vector.emitted_decoded.id === ''
  const noCreatedAt = !('decode_error' in vector.emitted_decoded) && vector.emitted_decoded.created_at === '0'

  expect(ours.topic).toBe(topicOf(theirs.topic))
  expect(ours.partition).toBe(theirs.partition)
  expect(ours.key.toString('hex')).toBe(theirs.key_hex)

  // Rule "missing id": theirs is random, ours derived.
  const id = noId ? deriveFactId(emission) : (theirs.headers['event_id'] as string)
  // Rule "LSN header": ours is the message's own position.
  const lsn =
    `${(emission.messageLsn >> 32n).toString(16)}/${(emission.messageLsn & 0xffffffffn).toString(16)}`.toUpperCase()
  // Rule "fixed order": the same names and values otherwise.
  expect({ ...ours.headers }).toEqual({ ...theirs.headers, event_id: id, LSN: lsn })
  expect(Object.keys(ours.headers).slice(0, 3)).toEqual(['event_id', 'event_type', 'LSN'])

  // Rule "created_at 0": ours is the commit time, behind the rest; left where there is no commit.
  const createdAt =
    noCreatedAt && emission.commitTimeMicros !== undefined
      ? Buffer.concat([Buffer.from([0x30]), varint(emission.commitTimeMicros)])
      : Buffer.alloc(0)
  // Rule "value": the emitted bytes, with a missing id before them.
  const before = noId ? Buffer.from(`\x0a\x24${id}`, 'latin1') : Buffer.alloc(0)
  expect(ours.value.equals(Buffer.concat([before, emission.content, createdAt])), 'value').toBe(true)

  if (!noCreatedAt && !BYTES_KEPT.includes(vector.name)) {
    // No rule says that they differ: with their id for ours they are the same bytes.
    const theirId = noId ? Buffer.from(`\x0a\x24${theirs.headers['event_id']}`, 'latin1') : Buffer.alloc(0)
    const asTheirs = Buffer.concat([theirId, ours.value.subarray(before.length)])
    expect(createHash('sha256').update(asTheirs).digest('hex'), 'value as theirs').toBe(theirs.value_sha256)
  } else if (theirs.value_hex) {
    // The same fields all the same.
    const [our, their] = [decodeFact(ours.value), decodeFact(Buffer.from(theirs.value_hex, 'hex'))]
    for (const name of ['aggregateType', 'aggregateId', 'eventType', 'payload', 'metadata', 'trace'] as const)
      expect(our[name]).toEqual(their[name])
    expect(our.unknownFields).toEqual(their.unknownFields)
    expect(our.id).toBe(id)
    expect(our.wireCreatedAt).toBe(noCreatedAt ? (emission.commitTimeMicros ?? 0n) : their.wireCreatedAt)
  }
}

function varint(value: bigint): Buffer {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, value)
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  return Buffer.from([...bytes, Number(rest)])
}
