import { DecodeError } from '../errors.ts'
import { createEnvelopeScan, type EnvelopeScan, scanEnvelope } from './scan.ts'

/** What a relay adds to an envelope; the rest of its bytes stays as it was emitted. */
export interface Completion {
  /** For an envelope without an id; of 36 ASCII characters, from `deriveFactId`. */
  readonly derivedId?: string | undefined
  /** For an envelope without a created-at: the transaction's commit time, microseconds since 1970. */
  readonly commitTimeMicros?: bigint | undefined
  /** The scan of these bytes, where there is one already. */
  readonly scan?: EnvelopeScan | undefined
}

const ownScan = createEnvelopeScan()

/**
 * The envelope with a missing id and a missing created-at filled in; the same buffer, when nothing is missing.
 *
 * An id goes before the content, where its field stands in ascending order (and where OwlPost puts it). When the content
 * carries an explicit empty id, it goes behind: the last value of a field wins. A created-at always goes behind.
 *
 * @throws DecodeError when the content is no envelope.
 */
export function completeEnvelope(content: Uint8Array, completion: Completion): Uint8Array {
  const scan = completion.scan ?? scanEnvelope(content, ownScan)
  if (!scan.ok) throw new DecodeError(`the ${content.byteLength} bytes are not the envelope of a fact: ${scan.problem}`)
  const { derivedId, commitTimeMicros } = completion
  const id = scan.idEnd === 0 && derivedId !== undefined ? idField(derivedId) : NOTHING
  const createdAt = scan.createdAtIsZero && commitTimeMicros !== undefined ? createdAtField(commitTimeMicros) : NOTHING
  if (id.length === 0 && createdAt.length === 0) return content
  return scan.hasIdField ? Buffer.concat([content, id, createdAt]) : Buffer.concat([id, content, createdAt])
}

const NOTHING = Buffer.alloc(0)

function idField(id: string): Buffer {
  const field = Buffer.allocUnsafe(2 + id.length)
  field[0] = 0x0a
  field[1] = id.length
  field.write(id, 2, 'latin1')
  return field
}

function createdAtField(micros: bigint): Buffer {
  const bytes = [0x30]
  let rest = BigInt.asUintN(64, micros)
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  bytes.push(Number(rest))
  return Buffer.from(bytes)
}
