import { SinkError, type StoredRecord } from '../sink/sink.ts'
import type { LoggedRecord, PartitionLog } from './find-in-log.ts'
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
/** How long records may take to be replicated while they are looked for, milliseconds. */
const REPLICATION_WAIT_MS = 100
const NO_LEADER_EPOCH = -1
const EARLIEST = -2n
const LATEST = -1n
const CONSUMER = -1
/** Sees what the leader has and its followers not yet. */
const DEBUGGER = -2
const IS_TRANSACTIONAL = 0b010000
const IS_CONTROL = 0b100000

/** A partition's log for findInLog, at the broker that leads it now. */
export async function openPartitionLog(place: Place): Promise<PartitionLog> {
  const connection = await leaderConnection(place)
  const offsetAt = (timestamp: bigint) => reading(place, () => askOffset(place, connection, timestamp, DEBUGGER))
  return {
    first: async () => (await offsetAt(EARLIEST)) ?? 0n,
    end: async () => (await offsetAt(LATEST)) ?? 0n,
    offsetAt: (timestampMs) => offsetAt(BigInt(timestampMs)),
    read: (from, end) => readLog(place, connection, from, end),
  }
}

/** Every record of a partition up to its end as it is now. */
export async function readPartition(place: Place, onRecord: (record: StoredRecord) => void): Promise<void> {
  const connection = await leaderConnection(place)
  const from = await reading(place, () => askOffset(place, connection, EARLIEST, CONSUMER))
  if (from !== undefined) for await (const record of readLog(place, connection, from)) onRecord(record)
}

/** @param givenEnd default: the end as it is now, of what is replicated. */
async function* readLog(
  place: Place,
  connection: Connection,
  from: bigint,
  givenEnd?: bigint,
): AsyncGenerator<LoggedRecord> {
  const { partition } = place
  let offset = from
  let end = givenEnd
  while (end === undefined || offset < end) {
    const { highWatermark, logStartOffset, records } = await reading(place, () => fetch(place, connection, offset))
    end ??= highWatermark
    if (offset < logStartOffset) {
      offset = logStartOffset
      continue
    }
    if (!records?.length && offset < end) {
      const [type, what] =
        highWatermark > offset
          ? ['EMPTY_FETCH', 'the broker gave no records']
          : ['NOT_REPLICATED', 'what its leader has is not on enough replicas yet']
      throw new SinkError('retry', type as string, `${place.topic}/${partition}: ${what}`)
    }
    for (const batch of records ?? []) {
      for (const record of (batch.attributes & IS_CONTROL) !== 0 ? [] : batch.records) {
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
          inTransaction: (batch.attributes & IS_TRANSACTIONAL) !== 0,
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
async function askOffset(
  place: Place,
  connection: Connection,
  timestamp: bigint,
  replicaId: number,
): Promise<bigint | undefined> {
  const partitions = [{ partitionIndex: place.partition, currentLeaderEpoch: NO_LEADER_EPOCH, timestamp }]
  const asked = [{ name: place.topic, partitions }]
  type Answer = { readonly topics: readonly { readonly partitions: readonly { readonly offset: bigint }[] }[] }
  const answer = await place.cluster.request<Answer>(connection, 'ListOffsets', replicaId, 0, asked)
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
  const asked = [
    REPLICATION_WAIT_MS,
    1,
    FETCH_BYTES,
    0,
    0,
    -1,
    [{ topicId: place.topic, partitions: [wanted] }],
    [],
    '',
  ]
  type Answer = { readonly responses: readonly { readonly partitions: readonly FetchedPartition[] }[] }
  const answer = await place.cluster.request<Answer>(connection, 'Fetch', ...asked)
  const found = answer.responses[0]?.partitions[0]
  if (!found) throw new SinkError('retry', 'EMPTY_FETCH', `${place.topic}/${place.partition}: nothing in the answer`)
  return found
}
