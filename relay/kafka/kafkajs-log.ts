import { SinkError } from '../sink/sink.ts'
import type { LoggedRecord, PartitionLog } from './find-in-log.ts'
import type { Kafka } from './kafkajs-client.ts'
import { type ClusterBroker, createCluster, type FetchedMessage, type KafkajsCluster } from './kafkajs-cluster.ts'
import { toSinkError } from './kafkajs-errors.ts'
import { settle } from './with-limit.ts'

// Reading partitions by Fetch and ListOffsets requests of our own, over kafkajs' connections: its consumer would join a group
// first (seconds, and one more right to be given), and its read-committed filter is wrong where aborted transactions overlap
// (it takes them in the order in which they ended, not began).

export const READ_UNCOMMITTED = 0
export const READ_COMMITTED = 1
/** For `offsetOf`, instead of a time. */
export const LATEST = -1
export const EARLIEST = -2
const CONSUMER = -1
/** Sees what the leader has and its followers not yet. */
const DEBUGGER = -2
const FETCH_BYTES = 4 * 1024 * 1024
/** How long records in doubt may take to be replicated while they are looked for, milliseconds. */
const REPLICATION_WAIT_MS = 100

/** A partition and the broker that led it when asked. */
export interface LedPartition {
  readonly broker: ClusterBroker
  readonly topic: string
  readonly partition: number
}

export interface FetchedRecords {
  readonly messages: readonly FetchedMessage[]
  readonly aborts: readonly { readonly producerId: string; readonly firstOffset: string }[]
  /** Everything before it is decided; with READ_COMMITTED nothing beyond it is handed out. */
  readonly lastStableOffset: bigint
  readonly highWatermark: bigint
}

/** One cluster for all who read at the same time; it lets go of its connections when the last one is done. */
export class SharedCluster {
  readonly #kafka: Kafka
  #open: { readonly cluster: KafkajsCluster; readonly connected: Promise<void>; users: number } | undefined

  constructor(kafka: Kafka) {
    this.#kafka = kafka
  }

  /** @throws SinkError */
  async use<T>(topic: string, work: (cluster: KafkajsCluster) => Promise<T>): Promise<T> {
    if (!this.#open) {
      const cluster = createCluster(this.#kafka)
      this.#open = { cluster, connected: cluster.connect(), users: 0 }
    }
    const open = this.#open
    open.users++
    try {
      await open.connected
      await open.cluster.addMultipleTargetTopics([topic])
      return await work(open.cluster)
    } catch (error) {
      // What it knows of the brokers may be what is wrong.
      if (this.#open === open) this.#open = undefined
      throw toSinkError(error, `cannot read topic "${topic}"`)
    } finally {
      open.users--
      if (open.users === 0) {
        if (this.#open === open) this.#open = undefined
        // Best effort: its sockets go with it.
        void settle(open.cluster.disconnect())
      }
    }
  }

  /** Those who read fail. */
  async close(): Promise<void> {
    const open = this.#open
    this.#open = undefined
    await settle(open?.cluster.disconnect())
  }
}

/** @throws SinkError `retry` while the partition has no leader; `topicMissing` when it is not there. */
export async function ledPartition(cluster: KafkajsCluster, topic: string, partition: number): Promise<LedPartition> {
  const leader = cluster.findTopicPartitionMetadata(topic).find(({ partitionId }) => partitionId === partition)?.leader
  if (leader === undefined)
    throw new SinkError('topicMissing', 'UNKNOWN_TOPIC_OR_PARTITION', `${topic}/${partition} does not exist`)
  if (leader < 0) throw new SinkError('retry', 'LEADER_NOT_AVAILABLE', `${topic}/${partition} has no leader now`)
  return { broker: await cluster.findBroker({ nodeId: leader }), topic, partition }
}

/** The offset of the first record that is as new as a time in milliseconds, or LATEST, EARLIEST; -1: no record is as new. */
export async function offsetOf(
  { broker, topic, partition }: LedPartition,
  timestamp: number,
  replicaId = CONSUMER,
): Promise<bigint> {
  const { responses } = await broker.listOffsets({
    replicaId,
    isolationLevel: READ_UNCOMMITTED,
    topics: [{ topic, partitions: [{ partition, timestamp: String(timestamp) }] }],
  })
  const offset = responses[0]?.partitions[0]?.offset
  if (offset === undefined) throw new SinkError('retry', 'NO_OFFSET', `no offset of ${topic}/${partition}`)
  return BigInt(offset)
}

/** Whole batches, so also records before `offset`. */
export async function fetchRecords(
  { broker, topic, partition }: LedPartition,
  offset: bigint,
  options: { readonly isolationLevel: number; readonly maxWaitMs: number },
): Promise<FetchedRecords> {
  const { responses } = await broker.fetch({
    replicaId: CONSUMER,
    isolationLevel: options.isolationLevel,
    maxWaitTime: options.maxWaitMs,
    minBytes: 1,
    maxBytes: FETCH_BYTES,
    topics: [{ topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes: FETCH_BYTES }] }],
  })
  const answer = responses[0]?.partitions[0]
  // A broker that throttles us answers so, too.
  if (!answer) throw new SinkError('retry', 'EMPTY_FETCH', `nothing was said of ${topic}/${partition}`)
  return {
    messages: answer.messages,
    aborts: answer.abortedTransactions ?? [],
    lastStableOffset: BigInt(answer.lastStableOffset),
    highWatermark: BigInt(answer.highWatermark),
  }
}

/** Offset after the batch of a record; the records at its end may have been compacted away. */
export function offsetAfter({ offset, batchContext }: FetchedMessage): bigint {
  if (batchContext?.firstOffset === undefined) return BigInt(offset) + 1n
  return BigInt(batchContext.firstOffset) + BigInt(batchContext.lastOffsetDelta) + 1n
}

/** Our names are unique. kafkajs puts a name that objects have of themselves into an array with what it found there. */
export function headersOf(message: FetchedMessage): Record<string, string> {
  return Object.fromEntries(
    Object.entries(message.headers ?? {}).map(([name, value]) => [
      name,
      String((Array.isArray(value) ? value.find((one) => Buffer.isBuffer(one)) : value) ?? ''),
    ]),
  )
}

/** A partition's log for findInLog. Its methods reject with whatever kafkajs throws, which SharedCluster makes a SinkError. */
export function partitionLog(place: LedPartition): PartitionLog {
  return {
    first: () => offsetOf(place, EARLIEST, DEBUGGER),
    end: () => offsetOf(place, LATEST, DEBUGGER),
    async offsetAt(timestampMs) {
      const offset = await offsetOf(place, timestampMs, DEBUGGER)
      return offset < 0n ? undefined : offset
    },
    read: (from, end) => readUncommitted(place, from, end),
  }
}

async function* readUncommitted(place: LedPartition, from: bigint, end: bigint): AsyncGenerator<LoggedRecord> {
  const options = { isolationLevel: READ_UNCOMMITTED, maxWaitMs: REPLICATION_WAIT_MS }
  for (let position = from; position < end; ) {
    const { messages, highWatermark } = await fetchRecords(place, position, options)
    for (const message of messages) {
      const offset = BigInt(message.offset)
      if (offset < position || offset >= end || message.isControlRecord) continue
      yield {
        partition: place.partition,
        offset,
        key: message.key ?? Buffer.alloc(0),
        value: message.value ?? Buffer.alloc(0),
        headers: headersOf(message),
        timestampMs: Number(message.timestamp),
        inTransaction: message.batchContext?.inTransaction === true,
      }
    }
    const last = messages.at(-1)
    if (last) position = offsetAfter(last)
    // A batch of which compaction left nothing.
    else if (highWatermark > position) position++
    else
      throw new SinkError(
        'retry',
        'NOT_REPLICATED',
        `${place.topic}/${place.partition}: what its leader has is not on enough replicas yet`,
      )
  }
}
