import { createHash } from 'node:crypto'
import { SinkError, type SinkRecord, type StoredRecord } from '../sink/sink.ts'
import type { Connection } from './platformatic-client.ts'
import type { PlatformaticCluster } from './platformatic-cluster.ts'
import { toSinkError } from './platformatic-errors.ts'

// Reading a partition back: dead letters at start, and a batch whose acknowledgement was lost together with its producer.

/** What the library makes of a fetched partition, as far as it is looked at. */
interface FetchedPartition {
  readonly highWatermark: bigint
  readonly logStartOffset: bigint
  readonly records: readonly FetchedBatch[] | null
}

interface FetchedBatch {
  readonly attributes: number
  readonly firstOffset: bigint
  readonly lastOffsetDelta: number
  readonly firstTimestamp: bigint
  readonly records: readonly {
    readonly offsetDelta: number
    readonly timestampDelta: bigint
    readonly key: Buffer | null
    readonly value: Buffer | null
    readonly headers: readonly (readonly [name: Buffer, value: Buffer | null])[]
  }[]
}

interface Place {
  readonly cluster: PlatformaticCluster
  readonly topic: string
  readonly partition: number
}

const FETCH_BYTES = 4 * 1024 * 1024
/** Brokers may stamp records themselves: so much their clock may be behind ours. */
const CLOCK_MARGIN_MS = 60_000
const NO_LEADER_EPOCH = -1
const EARLIEST = -2n
const LATEST = -1n
const IS_TRANSACTIONAL = 0b010000
const IS_CONTROL = 0b100000

/**
 * Whether every record of a batch is in the log of its partition: written by a producer that is gone, whose answer was lost.
 * Not its first one only, although a batch is written whole or not at all: another relay that had the slot meanwhile may have
 * written the first records in a batch of its own, and died before the others.
 *
 * Records of transactions do not count: they may have been aborted, and this producer has none.
 *
 * @param batch.from Offset after the last batch that was acknowledged; undefined, or outside of the log (a topic that was made
 * again, records that expired): found by the time of the first try.
 * @throws SinkError when the log cannot be read; the batch must not be sent then.
 */
export async function findInLog(
  place: Place,
  batch: {
    readonly records: readonly SinkRecord[]
    readonly from: bigint | undefined
    readonly sinceMs: number | undefined
  },
): Promise<boolean> {
  const connection = await leaderConnection(place)
  const from = await reading(place, async () => {
    const { from: known } = batch
    if (known !== undefined) {
      const first = (await offsetAt(place, connection, EARLIEST)) ?? 0n
      const end = (await offsetAt(place, connection, LATEST)) ?? 0n
      if (known >= first && known <= end) return known
    }
    return offsetAt(place, connection, BigInt(Math.max(0, (batch.sinceMs ?? 0) - CLOCK_MARGIN_MS)))
  })
  if (from === undefined) return batch.records.length === 0
  const missing = new Map<string, number>()
  for (const record of batch.records) {
    const digest = digestOf(record)
    missing.set(digest, (missing.get(digest) ?? 0) + 1)
  }
  for await (const record of readLog(place, connection, from, IS_CONTROL | IS_TRANSACTIONAL)) {
    const digest = digestOf(record)
    const count = missing.get(digest)
    if (count === undefined) continue
    if (count > 1) missing.set(digest, count - 1)
    else missing.delete(digest)
    if (missing.size === 0) return true
  }
  return missing.size === 0
}

/** Key, value and headers: two dead letters may have the same bytes, and differ in their ids. */
function digestOf({ key, value, headers }: Pick<SinkRecord, 'key' | 'value' | 'headers'>): string {
  return createHash('sha1')
    .update(`${key.length} ${value.length} ${JSON.stringify(headers)}`)
    .update(key)
    .update(value)
    .digest('base64')
}

/** Every record of a partition up to its end as it is now. */
export async function readPartition(place: Place, onRecord: (record: StoredRecord) => void): Promise<void> {
  const connection = await leaderConnection(place)
  const from = await reading(place, () => offsetAt(place, connection, EARLIEST))
  if (from !== undefined) for await (const record of readLog(place, connection, from, IS_CONTROL)) onRecord(record)
}

/** @param leftOut batches with any of these attributes are passed over. */
async function* readLog(
  place: Place,
  connection: Connection,
  from: bigint,
  leftOut: number,
): AsyncGenerator<StoredRecord> {
  const { partition } = place
  let offset = from
  let end: bigint | undefined
  while (end === undefined || offset < end) {
    const { highWatermark, logStartOffset, records } = await reading(place, () => fetch(place, connection, offset))
    end ??= highWatermark
    if (offset < logStartOffset) {
      offset = logStartOffset
      continue
    }
    if (!records?.length && offset < end)
      throw new SinkError('retry', 'EMPTY_FETCH', `${place.topic}/${partition}: the broker gave no records`)
    for (const batch of records ?? []) {
      for (const record of (batch.attributes & leftOut) !== 0 ? [] : batch.records) {
        const at = batch.firstOffset + BigInt(record.offsetDelta)
        // The broker sends whole batches, so also what lies before the position.
        if (at < offset || at >= end) continue
        yield {
          partition,
          offset: at,
          key: record.key ?? Buffer.alloc(0),
          value: record.value ?? Buffer.alloc(0),
          headers: Object.fromEntries(record.headers.map(([name, value]) => [String(name), String(value ?? '')])),
          timestampMs: Number(batch.firstTimestamp + record.timestampDelta),
        }
      }
      offset = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n
    }
  }
}

async function leaderConnection({ cluster, topic, partition }: Place): Promise<Connection> {
  const leader = (await cluster.refresh(topic))[partition] ?? -1
  const broker = cluster.broker(leader)
  if (!broker) throw new SinkError('retry', 'LEADER_NOT_AVAILABLE', `${topic}/${partition} has no leader now`)
  return cluster.connection(broker)
}

async function reading<T>({ topic, partition }: Place, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw toSinkError(error, `cannot read ${topic}/${partition}`)
  }
}

/** Undefined: no record is as new as that. */
async function offsetAt(place: Place, connection: Connection, timestamp: bigint): Promise<bigint | undefined> {
  const partitions = [{ partitionIndex: place.partition, currentLeaderEpoch: NO_LEADER_EPOCH, timestamp }]
  const asked = [{ name: place.topic, partitions }]
  type Answer = { readonly topics: readonly { readonly partitions: readonly { readonly offset: bigint }[] }[] }
  const answer = await place.cluster.request<Answer>(connection, 'ListOffsets', -1, 0, asked)
  const offset = answer.topics[0]?.partitions[0]?.offset
  return offset === undefined || offset < 0n ? undefined : offset
}

async function fetch(place: Place, connection: Connection, fetchOffset: bigint): Promise<FetchedPartition> {
  const wanted = {
    partition: place.partition,
    currentLeaderEpoch: NO_LEADER_EPOCH,
    fetchOffset,
    lastFetchedEpoch: -1,
    partitionMaxBytes: FETCH_BYTES,
  }
  // maxWaitMs, minBytes, maxBytes, isolationLevel, sessionId, sessionEpoch, topics, forgotten topics, rack
  const asked = [0, 0, FETCH_BYTES, 0, 0, -1, [{ topicId: place.topic, partitions: [wanted] }], [], '']
  type Answer = { readonly responses: readonly { readonly partitions: readonly FetchedPartition[] }[] }
  const answer = await place.cluster.request<Answer>(connection, 'Fetch', ...asked)
  const found = answer.responses[0]?.partitions[0]
  if (!found) throw new SinkError('retry', 'EMPTY_FETCH', `${place.topic}/${place.partition}: nothing in the answer`)
  return found
}
