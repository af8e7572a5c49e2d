import { SinkError } from '../sink/sink.ts'
import type { Kafka } from './kafkajs-client.ts'
import type { FetchedMessage } from './kafkajs-cluster.ts'
import {
  EARLIEST,
  fetchRecords,
  LATEST,
  type LedPartition,
  ledPartition,
  offsetAfter,
  offsetOf,
  READ_COMMITTED,
  SharedCluster,
} from './kafkajs-log.ts'

/** How many offsets before the end are looked through first; four times as many each time nothing is found. */
const FIRST_STEP = 5_000n
const FETCH_WAIT_MS = 250
/** https://kafka.apache.org/documentation/#controlbatch: version i16, type i16. */
const ABORT_MARKER = 0
const COMMIT_MARKER = 1

/**
 * Follows one key through records and markers: a record of a transaction counts once the marker of its producer says
 * commit. Pure.
 */
export class CommittedKey {
  readonly #key: Buffer
  /** Producer → its record whose marker has not come. */
  readonly #undecided = new Map<string, Buffer>()
  last: Buffer | undefined

  constructor(key: string) {
    this.#key = Buffer.from(key)
  }

  get isDecided(): boolean {
    return this.#undecided.size === 0
  }

  take({ key, value, isControlRecord, batchContext }: FetchedMessage): void {
    const { producerId = '', inTransaction = false } = batchContext ?? {}
    if (isControlRecord) {
      const marker = key?.readInt16BE(2)
      const record = this.#undecided.get(producerId)
      if (marker === COMMIT_MARKER && record !== undefined) this.last = record
      if (marker === COMMIT_MARKER || marker === ABORT_MARKER) this.#undecided.delete(producerId)
    } else if (key?.equals(this.#key)) {
      const content = value ?? Buffer.alloc(0)
      if (inTransaction) this.#undecided.set(producerId, content)
      else this.last = content
    }
  }
}

/**
 * The value of the last committed record of a key in partition 0, seen from the partition's end as it is at the call; an
 * empty buffer for a record without value. Undecided transactions before that end are waited for.
 *
 * @param limitMs milliseconds for all of it.
 * @throws SinkError
 */
export async function readLastCommitted(
  kafka: Kafka,
  topic: string,
  key: string,
  limitMs: number,
): Promise<Buffer | undefined> {
  const untilMs = performance.now() + limitMs
  return new SharedCluster(kafka).use(topic, async (cluster) => {
    const place = await ledPartition(cluster, topic, 0)
    const low = await offsetOf(place, EARLIEST)
    // The high watermark, not the last stable offset: what is undecided is to be waited for, not left out.
    const high = await offsetOf(place, LATEST)
    for (let step = FIRST_STEP; ; step *= 4n) {
      const start = high - step > low ? high - step : low
      const found = await scan(place, { key, start, high, untilMs })
      if (found !== undefined || start === low) return found
    }
  })
}

async function scan(
  place: LedPartition,
  work: { readonly key: string; readonly start: bigint; readonly high: bigint; readonly untilMs: number },
): Promise<Buffer | undefined> {
  const { high, untilMs } = work
  const committed = new CommittedKey(work.key)
  // Bounded by the last stable offset; which records were aborted is told by the markers.
  const options = { isolationLevel: READ_COMMITTED, maxWaitMs: FETCH_WAIT_MS }
  let position = work.start
  while (position < high || !committed.isDecided) {
    if (performance.now() > untilMs)
      throw new SinkError(
        'retry',
        'POSITION_UNDECIDED',
        `a transaction of another producer on topic "${place.topic}" is open for too long`,
      )
    const { messages, lastStableOffset } = await fetchRecords(place, position, options)
    for (const message of messages) {
      // The broker sends whole batches, so also what lies before the position.
      if (BigInt(message.offset) >= position) committed.take(message)
    }
    const last = messages.at(-1)
    if (last) position = offsetAfter(last)
    // Compaction may have taken what was last: nothing came, and everything before the end is decided.
    if (messages.length === 0 && lastStableOffset >= high && committed.isDecided) break
  }
  return committed.last
}
