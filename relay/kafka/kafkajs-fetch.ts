import type { StoredRecord } from '../sink/sink.ts'
import type { KafkaTarget, RelayLogger } from '../types.ts'
import { createClient } from './kafkajs.ts'
import { createCluster, type FetchedMessage, type KafkajsCluster } from './kafkajs-cluster.ts'
import { toSinkError } from './kafkajs-errors.ts'
import { settle, withLimit } from './with-limit.ts'

// Reads topics by Fetch requests, without a consumer group: nothing is committed and nothing is left behind. Aborted
// transactions are left out.

const READ_COMMITTED = 1
const FETCH_BYTES = 8 * 1024 * 1024

export interface ReadRecord extends StoredRecord {
  readonly topic: string
  /** A record without a value. */
  readonly isTombstone: boolean
}

export interface TopicReader {
  readonly partitions: readonly {
    readonly topic: string
    readonly partition: number
    readonly low: bigint
    readonly high: bigint
  }[]
  /**
   * Records of one partition from `offset` on, up to its end as it was at the opening (`untilEnd`) or for ever.
   * `stop` ends it between two requests.
   */
  read(
    place: { readonly topic: string; readonly partition: number; readonly offset: bigint },
    options: { readonly untilEnd: boolean; readonly signal?: AbortSignal },
    onRecord: (record: ReadRecord) => void,
  ): Promise<void>
  close(): Promise<void>
}

/**
 * Opens topics for reading.
 *
 * @example
 * const reader = await openTopicReader(target, logger, ['shop.order'])
 * for (const { low, ...place } of reader.partitions)
 *   await reader.read({ ...place, offset: low }, { untilEnd: true }, (record) => console.log(record.key))
 * @throws SinkError `topicMissing` when one is not there.
 */
export async function openTopicReader(
  target: KafkaTarget,
  logger: RelayLogger,
  topics: readonly string[],
): Promise<TopicReader> {
  const kafka = createClient(target, logger)
  const cluster = createCluster(kafka)
  const admin = kafka.admin({ retry: { retries: 1 } })
  try {
    await admin.connect()
    await cluster.connect()
    if (topics.length > 0) await cluster.addMultipleTargetTopics(topics)
    const partitions: { topic: string; partition: number; low: bigint; high: bigint }[] = []
    for (const topic of topics)
      for (const { partition, low, high } of await admin.fetchTopicOffsets(topic))
        partitions.push({ topic, partition, low: BigInt(low), high: BigInt(high) })
    partitions.sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1))
    return {
      partitions,
      async read(place, { untilEnd, signal }, onRecord) {
        const end = partitions.find((one) => one.topic === place.topic && one.partition === place.partition)?.high
        await readPartition(cluster, { ...place, end: untilEnd ? end : undefined, signal }, onRecord)
      },
      async close() {
        await withLimit(Promise.all([settle(admin.disconnect()), settle(cluster.disconnect())]), 2_000)
      },
    }
  } catch (error) {
    await withLimit(Promise.all([settle(admin.disconnect()), settle(cluster.disconnect())]), 2_000)
    throw toSinkError(error, `cannot read ${topics.join(', ')}`)
  }
}

async function readPartition(
  cluster: KafkajsCluster,
  from: {
    readonly topic: string
    readonly partition: number
    readonly offset: bigint
    readonly end: bigint | undefined
    readonly signal: AbortSignal | undefined
  },
  onRecord: (record: ReadRecord) => void,
): Promise<void> {
  const { topic, partition, end, signal } = from
  let position = from.offset
  let failures = 0
  const aborted = new Set<string>()
  const isStopped = () => signal?.aborted === true
  while ((end === undefined || position < end) && !isStopped()) {
    try {
      const { messages, aborts } = await fetchOnce(cluster, topic, partition, position)
      failures = 0
      for (const message of messages) {
        const offset = BigInt(message.offset)
        // The broker sends whole batches, so also what lies before the position.
        if (offset < position) continue
        if (end !== undefined && offset >= end) return
        position = offset + 1n
        while (aborts[0] !== undefined && BigInt(aborts[0].firstOffset) <= offset)
          aborted.add(aborts.shift()?.producerId ?? '')
        const producerId = message.batchContext?.producerId ?? ''
        if (message.isControlRecord) aborted.delete(producerId)
        else if (!(message.batchContext?.inTransaction && aborted.has(producerId)))
          onRecord(toRecord(topic, partition, message))
      }
      // Only markers of transactions, or an open one, are left before the end: read-committed shows no more.
      if (messages.length === 0 && end !== undefined) return
    } catch (error) {
      // The leader may have moved: the next try asks the one that leads then.
      if (isStopped()) return
      if (++failures > 5) throw toSinkError(error, `cannot read ${topic}/${partition}`)
      await cluster.refreshMetadata().catch(() => {})
    }
  }
}

async function fetchOnce(cluster: KafkajsCluster, topic: string, partition: number, offset: bigint) {
  const leader = cluster.findTopicPartitionMetadata(topic).find((one) => one.partitionId === partition)?.leader
  if (leader === undefined) throw new Error(`partition ${partition} of topic "${topic}" has no leader`)
  const broker = await cluster.findBroker({ nodeId: leader })
  const { responses } = await broker.fetch({
    replicaId: -1,
    isolationLevel: READ_COMMITTED,
    maxWaitTime: 500,
    minBytes: 1,
    maxBytes: FETCH_BYTES,
    topics: [{ topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes: FETCH_BYTES }] }],
  })
  const answer = responses[0]?.partitions[0]
  const aborts = [...(answer?.abortedTransactions ?? [])].sort((a, b) => Number(a.firstOffset) - Number(b.firstOffset))
  return { messages: answer?.messages ?? [], aborts }
}

function toRecord(topic: string, partition: number, message: FetchedMessage): ReadRecord {
  return {
    topic,
    partition,
    offset: BigInt(message.offset),
    key: message.key ?? Buffer.alloc(0),
    value: message.value ?? Buffer.alloc(0),
    isTombstone: message.value === null,
    headers: Object.fromEntries(
      Object.entries(message.headers ?? {}).map(([name, value]) => [
        name,
        String(Array.isArray(value) ? value[0] : value),
      ]),
    ),
    timestampMs: Number(message.timestamp),
  }
}
