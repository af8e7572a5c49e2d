import { createHash } from 'node:crypto'
import { SinkError, type SinkRecord, type StoredRecord } from '../sink/sink.ts'
import type { RelayLogger } from '../types.ts'

// A batch whose answer was lost together with its producer: a new producer has other sequences, so the broker would not
// know the batch again. It is looked for before it is sent.

/** How a client reads the log of one partition, at its leader. Rejects with a SinkError. */
export interface PartitionLog {
  /** The first offset that is left. */
  first(): Promise<bigint>
  /** Offset after the last record that the leader has, also where the others have not followed yet. */
  end(): Promise<bigint>
  /** Of the first record that is as new; undefined: none is. */
  offsetAt(timestampMs: number): Promise<bigint | undefined>
  /** All records of `from` up to `end`, none else, without control records. Waits a moment for what is not replicated yet, then rejects. */
  read(from: bigint, end: bigint): AsyncIterable<LoggedRecord>
}

export interface LoggedRecord extends StoredRecord {
  readonly inTransaction: boolean
}

/** A batch that may have been written. */
export interface BatchInDoubt {
  readonly records: readonly SinkRecord[]
  /** Offset after the last batch that was acknowledged. */
  readonly from: bigint | undefined
  /** Create time of its first try, milliseconds since 1970. */
  readonly sinceMs: number | undefined
}

/** Why a log will not be readable later, either: no right to Read, or records that others wrote with a codec that we have not. */
const NEVER_READABLE: ReadonlySet<string> = new Set(['TOPIC_AUTHORIZATION_FAILED', 'KafkaJSNotImplemented'])
/** Brokers may stamp records themselves: so much their clock may be behind ours. */
const CLOCK_MARGIN_MS = 60_000

/**
 * Whether every record of a batch is in the log of its partition. Not its first one only, although a batch is written whole
 * or not at all: another relay that had the slot meanwhile may have written the first records in a batch of its own, and
 * died before the others.
 *
 * Records of transactions do not count: they may have been aborted, and this producer has none. The search begins behind
 * what was acknowledged; where that is not known or not in the log (a topic that was made again, records that expired),
 * at the time of the first try.
 *
 * @example if (await findInLog(log, { records, from: 120n, sinceMs: undefined })) return
 * @throws SinkError when the log cannot be read up to its end now; the batch must not be sent then.
 */
export async function findInLog(
  log: PartitionLog,
  { records, from: known, sinceMs = 0 }: BatchInDoubt,
): Promise<boolean> {
  const missing = new Map<string, number>()
  for (const record of records) {
    const digest = digestOf(record)
    missing.set(digest, (missing.get(digest) ?? 0) + 1)
  }
  const end = await log.end()
  const isInside = known !== undefined && known <= end && known >= (await log.first())
  const from = isInside ? known : await log.offsetAt(Math.max(0, sinceMs - CLOCK_MARGIN_MS))
  if (from === undefined || from >= end) return missing.size === 0
  for await (const record of log.read(from, end)) {
    if (record.inTransaction) continue
    const digest = digestOf(record)
    const count = missing.get(digest)
    if (count === undefined) continue
    if (count > 1) missing.set(digest, count - 1)
    else missing.delete(digest)
    if (missing.size === 0) return true
  }
  return false
}

/**
 * {@link findInLog}, and says what came of it. A log that we can never read is as one without the batch: the facts may then
 * be there twice, which is better than never.
 */
export async function isInLog(
  place: { readonly topic: string; readonly partition: number; readonly logger: RelayLogger },
  look: () => Promise<boolean>,
): Promise<boolean> {
  const { logger, ...where } = place
  try {
    const found = await look()
    logger.warn({ ...where, found }, 'looked for records whose fate was unknown')
    return found
  } catch (error) {
    if (!(error instanceof SinkError) || !NEVER_READABLE.has(error.type)) throw error
    logger.warn(
      { ...where, type: error.type },
      'records whose fate is unknown are written again, perhaps twice: the relay cannot read the topic (ACL: Read)',
    )
    return false
  }
}

/** Key, value and headers: two dead letters may have the same bytes, and differ in their ids. */
function digestOf({ key, value, headers }: Pick<SinkRecord, 'key' | 'value' | 'headers'>): string {
  return createHash('sha1')
    .update(`${key.length} ${value.length} ${JSON.stringify(headers)}`)
    .update(key)
    .update(value)
    .digest('base64')
}
