import type { Entry } from './entry.ts'
import { formatLsn } from './lsn.ts'
import type { SinkFault } from './policy.ts'

// Facts that can never be produced, kept with their reason in a topic of their own:
//
//   key      the fact's own key (empty when it could not be read)
//   value    the raw bytes, in parts where they are too large for one record
//   headers  the fact's own, then dead_letter_*: cause, detail, topic, prefix, lsn, attempts, id, part
//
// All of it follows from the fact and the fault, so a dead letter that is delivered again is the same.

/**
 * - `malformed`: the message is not a fact.
 * - `too_large`: larger than the topic or broker takes.
 * - `invalid_topic`: prefix and aggregate type do not make a topic's name.
 * - `refused`: the broker refuses the record for another reason of its own.
 * - `key_blocked`: sound, but an earlier fact of its key is a dead letter and the user wants order (`block-key`).
 */
export const DEAD_LETTER_CAUSES = ['malformed', 'too_large', 'invalid_topic', 'refused', 'key_blocked'] as const
export type DeadLetterCause = (typeof DEAD_LETTER_CAUSES)[number]

export interface DeadLetterSettings {
  readonly topic: string
  /** Causes that go to the topic; others hold their lane, or halt (`malformed`). */
  readonly causes: readonly DeadLetterCause[]
  /** What becomes of later facts of a dead-lettered key. */
  readonly keys: 'continue' | 'block-key'
}

export interface DeadLetterNote {
  readonly cause: DeadLetterCause
  /** In words, without payload. */
  readonly detail: string
  /** Where the record would have gone; '' when that is not known. */
  readonly topic: string
  /** How often it was tried. */
  readonly attempts: number
}

/** The headers' names; docs/operations.md lists them. */
export const DEAD_LETTER_HEADERS = {
  cause: 'dead_letter_cause',
  detail: 'dead_letter_detail',
  topic: 'dead_letter_topic',
  prefix: 'dead_letter_prefix',
  lsn: 'dead_letter_lsn',
  attempts: 'dead_letter_attempts',
  /** The fact's id; of a malformed message, the id derived from its position. Parts of one value share it. */
  id: 'dead_letter_id',
  /** `1/3`: which part of how many. */
  part: 'dead_letter_part',
  /** On a record without value: the dead letter of this id was requeued or discarded. */
  resolved: 'dead_letter_resolved',
} as const

const RESERVED = /^dead_letter_/

/** The cause behind a broker's refusal. */
export function causeOfFault(fault: SinkFault): DeadLetterCause {
  if (/TOO_LARGE/.test(fault.type)) return 'too_large'
  return /INVALID_TOPIC/.test(fault.type) ? 'invalid_topic' : 'refused'
}

/** Room in a dead letter's record for headers of its own and the batch around it. */
const OWN_OVERHEAD_BYTES = 4_000
/** Also where `sendBytes` leaves less: a part of no bytes would be a fact that is lost. */
const PART_BYTES_MIN = 1_024

/** The largest value of one record that a dead letter of this fact may have, bytes. */
export function deadLetterPartBytes(entry: Pick<Entry, 'key' | 'headers'>, sendBytes: number): number {
  return Math.max(sendBytes - OWN_OVERHEAD_BYTES - overheadBytes(entry), PART_BYTES_MIN)
}

/** The note of a fact whose topic no broker can have. It may be as long as a fact may be, so its name is shortened. */
export function invalidTopicNote(name: string): DeadLetterNote {
  const topic = name.length > 300 ? `${name.slice(0, 300)}…` : name
  const detail = `"${topic}" is not a topic's name: up to 249 letters, digits, ".", "_" and "-"`
  return { cause: 'invalid_topic', detail, topic, attempts: 0 }
}

/** What a record of these holds beside its value, bytes: UTF-8 at its worst, and a few for each length. */
function overheadBytes({ key, headers }: Pick<Entry, 'key' | 'headers'>): number {
  let bytes = key.length
  for (const [name, value] of Object.entries(headers)) bytes += 3 * (name.length + value.length) + 10
  return bytes
}

/**
 * The entries that stand for a fact in the dead-letter topic: one, or one a part, in order. Only the last settles the
 * fact; the parts have one key, so they lie in one partition and the last is durable after the others.
 *
 * @param partBytes the largest value of one record.
 */
export function toDeadLetters(entry: Entry, note: DeadLetterNote, partBytes: number): Entry[] {
  const count = Math.max(1, Math.ceil(entry.value.length / partBytes))
  return Array.from({ length: count }, (_, index) => {
    const value = entry.value.subarray(index * partBytes, (index + 1) * partBytes)
    const headers: Record<string, string> = Object.create(null)
    // The names of a dead letter are its own: with one of them in its trace a fact could resolve itself, or another.
    for (const [name, value] of Object.entries(entry.headers)) if (!RESERVED.test(name)) headers[name] = value
    headers[DEAD_LETTER_HEADERS.cause] = note.cause
    headers[DEAD_LETTER_HEADERS.detail] = note.detail
    headers[DEAD_LETTER_HEADERS.topic] = note.topic
    headers[DEAD_LETTER_HEADERS.prefix] = entry.prefix
    headers[DEAD_LETTER_HEADERS.lsn] = formatLsn(entry.messageLsn)
    headers[DEAD_LETTER_HEADERS.attempts] = String(note.attempts)
    headers[DEAD_LETTER_HEADERS.id] = entry.id
    headers[DEAD_LETTER_HEADERS.part] = `${index + 1}/${count}`
    return {
      unit: entry.unit,
      id: entry.id,
      prefix: entry.prefix,
      aggregateType: entry.aggregateType,
      eventType: entry.eventType,
      key: entry.key,
      keyHash: entry.keyHash,
      messageLsn: entry.messageLsn,
      transactional: entry.transactional,
      unitLsn: entry.unitLsn,
      indexInUnit: entry.indexInUnit,
      commitTimeMicros: entry.commitTimeMicros,
      receivedAtMs: entry.receivedAtMs,
      deadLetter: entry.deadLetter,
      timestampMs: 0,
      value,
      headers,
      settles: index === count - 1,
      bytes: value.length + (entry.bytes - entry.value.length),
    }
  })
}

/** A record read back from the dead-letter topic. */
export interface StoredDeadLetter {
  readonly key: Buffer
  readonly headers: Readonly<Record<string, string>>
}

/**
 * Keys whose later facts follow an earlier one into the dead-letter topic. Filled from that topic at start, so that a
 * restart does not open a blocked key; a key is free again when all of its dead letters are resolved.
 */
export class BlockedKeys {
  /** Topic and key → ids of dead letters that are not resolved. */
  readonly #open = new Map<string, Set<string>>()
  /** Ids that were requeued or discarded: the same fact delivered once more blocks nothing again. */
  readonly #resolved = new Set<string>()

  block(topic: string, key: Buffer, id: string): void {
    if (this.#resolved.has(id)) return
    const name = blockName(topic, key)
    const ids = this.#open.get(name)
    if (ids) ids.add(id)
    else this.#open.set(name, new Set([id]))
  }

  isBlocked(topic: string, key: Buffer): boolean {
    return this.#open.size > 0 && this.#open.has(blockName(topic, key))
  }

  /** One record of the dead-letter topic, in its order. */
  restore(record: StoredDeadLetter): void {
    const { headers, key } = record
    const topic = headers[DEAD_LETTER_HEADERS.topic] ?? ''
    const resolved = headers[DEAD_LETTER_HEADERS.resolved]
    if (resolved === undefined) {
      // A malformed message has no key: it blocks nothing.
      if (headers[DEAD_LETTER_HEADERS.cause] !== 'malformed')
        this.block(topic, key, headers[DEAD_LETTER_HEADERS.id] ?? '')
      return
    }
    this.#resolved.add(resolved)
    const name = blockName(topic, key)
    const ids = this.#open.get(name)
    ids?.delete(resolved)
    if (ids?.size === 0) this.#open.delete(name)
  }
}

function blockName(topic: string, key: Buffer): string {
  return `${topic}\0${key.toString('latin1')}`
}
