import { scanEnvelope } from '../../src/envelope/scan.ts'
import { DEAD_LETTER_HEADERS as H } from '../dead-letter.ts'
import { parseLsn } from '../lsn.ts'

// The dead-letter topic, read from its beginning to its end, as a list of dead letters: pure.

/** One record of the topic. */
export interface DeadLetterRecord {
  readonly partition: number
  readonly offset: bigint
  readonly key: Buffer
  readonly value: Buffer
  readonly headers: Readonly<Record<string, string>>
  readonly timestampMs: number
}

export interface DeadLetter {
  readonly id: string
  readonly cause: string
  readonly detail: string
  /** Where the fact would have gone; '' when nobody knows. */
  readonly topic: string
  readonly prefix: string
  readonly lsn: string
  readonly attempts: number
  readonly key: Buffer
  /** Of the fact: without those of the dead letter. */
  readonly headers: Readonly<Record<string, string>>
  readonly parts: number
  readonly timestampMs: number
  /** Of the first part: what was dead-lettered first comes first. */
  readonly partition: number
  readonly offset: bigint
  /** Requeued or discarded. */
  readonly isResolved: boolean
  /** The whole value; undefined: `problem` says what is missing. */
  readonly value: Buffer | undefined
  readonly problem: string | undefined
}

interface Collected {
  readonly first: DeadLetterRecord
  readonly parts: Map<number, Buffer>
  readonly count: number
  differs: boolean
}

const OWN: ReadonlySet<string> = new Set(Object.values(H))

/**
 * Puts parts together and sorts by the order in which the facts were dead-lettered. A dead letter that was delivered
 * again counts once; one with a marker anywhere is resolved.
 */
export function collectDeadLetters(records: Iterable<DeadLetterRecord>): DeadLetter[] {
  const collected = new Map<string, Collected>()
  const resolved = new Set<string>()
  for (const record of records) {
    const marker = record.headers[H.resolved]
    if (marker !== undefined) {
      resolved.add(marker)
      continue
    }
    const id = record.headers[H.id]
    const part = /^(\d+)\/(\d+)$/.exec(record.headers[H.part] ?? '1/1')
    // Not written by a relay.
    if (id === undefined || !part) continue
    const letter = collected.get(id) ?? { first: record, parts: new Map(), count: Number(part[2]), differs: false }
    collected.set(id, letter)
    const before = letter.parts.get(Number(part[1]))
    if (before && !before.equals(record.value)) letter.differs = true
    else letter.parts.set(Number(part[1]), record.value)
  }
  return [...collected].map(([id, letter]) => toDeadLetter(id, letter, resolved.has(id))).sort(byOrder)
}

function toDeadLetter(id: string, { first, parts, count, differs }: Collected, isResolved: boolean): DeadLetter {
  const { headers, key, timestampMs, partition, offset } = first
  const numbers = Array.from({ length: count }, (_, index) => index + 1)
  const missing = numbers.filter((number) => !parts.has(number))
  const cause = headers[H.cause] ?? ''
  const whole =
    missing.length > 0 || differs ? undefined : Buffer.concat(numbers.map((number) => parts.get(number) as Buffer))
  const problem = differs
    ? 'its parts were delivered twice, and differ'
    : missing.length > 0
      ? `of its ${count} parts number ${missing.join(', ')} is missing`
      : undefined
  return {
    id,
    cause,
    detail: headers[H.detail] ?? '',
    topic: headers[H.topic] ?? '',
    prefix: headers[H.prefix] ?? '',
    lsn: headers[H.lsn] ?? '',
    attempts: Number(headers[H.attempts] ?? 0),
    key,
    headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !OWN.has(name))),
    parts: count,
    timestampMs,
    partition,
    offset,
    isResolved,
    value: whole,
    problem: problem ?? (whole && cause !== 'malformed' ? envelopeProblem(whole) : undefined),
  }
}

/** Parts that make no envelope are not what was emitted. */
function envelopeProblem(value: Buffer): string | undefined {
  const { ok, problem } = scanEnvelope(value)
  return ok ? undefined : `its value is no envelope: ${problem}`
}

/** By position in the WAL; a partition's own order where that is equal or unknown. */
function byOrder(a: DeadLetter, b: DeadLetter): number {
  if (a.partition === b.partition) return Number(a.offset - b.offset)
  const [left, right] = [position(a), position(b)]
  return left < right ? -1 : left > right ? 1 : a.partition - b.partition
}

function position({ lsn }: DeadLetter): bigint {
  try {
    return parseLsn(lsn)
  } catch {
    return 0n
  }
}
