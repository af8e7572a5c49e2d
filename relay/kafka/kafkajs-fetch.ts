import { SinkError, type StoredRecord } from '../sink/sink.ts'
import type { KafkaTarget, RelayLogger } from '../types.ts'
import { createClient } from './kafkajs-client.ts'
import { createCluster, type FetchedMessage, type KafkajsCluster } from './kafkajs-cluster.ts'
import { toSinkError } from './kafkajs-errors.ts'
import { fetchRecords, headersOf, ledPartition, offsetAfter, READ_COMMITTED } from './kafkajs-log.ts'
import { settle, withLimit } from './with-limit.ts'

// Reads topics without a consumer group: nothing is committed and nothing is left behind. Aborted transactions are left out.

const FETCH_WAIT_MS = 500

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
   * Records of one partition from `offset` on, up to its end as it was at the opening (`untilEnd`; an open transaction
   * ends it before) or for ever; `signal` ends it between two requests. Resolves to the offset to go on from.
   */
  read(
    place: { readonly topic: string; readonly partition: number; readonly offset: bigint },
    options: { readonly untilEnd: boolean; readonly signal?: AbortSignal },
    onRecord: (record: ReadRecord) => void,
  ): Promise<bigint>
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
        return readPartition(cluster, { ...place, end: untilEnd ? end : undefined, signal }, onRecord)
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

/**
 * Every record of a topic from its beginning to its end as it is at the call.
 *
 * @throws SinkError `topicMissing` when there is no such topic; `retry` when a transaction before that end is open.
 */
export async function readWholeTopic(
  target: KafkaTarget,
  logger: RelayLogger,
  topic: string,
  onRecord: (record: StoredRecord) => void,
): Promise<void> {
  const reader = await openTopicReader(target, logger, [topic])
  try {
    for (const { low, high, partition } of reader.partitions) {
      const reached = await reader.read({ topic, partition, offset: low }, { untilEnd: true }, onRecord)
      if (reached < high)
        throw new SinkError('retry', 'READ_UNDECIDED', `${topic}/${partition}: a transaction is open before the end`)
    }
  } finally {
    await reader.close()
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
): Promise<bigint> {
  const { topic, partition, end, signal } = from
  const options = { isolationLevel: READ_COMMITTED, maxWaitMs: FETCH_WAIT_MS }
  let position = from.offset
  let failures = 0
  const aborted = new Set<string>()
  const isStopped = () => signal?.aborted === true
  while ((end === undefined || position < end) && !isStopped()) {
    try {
      const place = await ledPartition(cluster, topic, partition)
      const { messages, aborts, lastStableOffset } = await fetchRecords(place, position, options)
      failures = 0
      const begun = [...aborts].sort((a, b) => Number(a.firstOffset) - Number(b.firstOffset))
      for (const message of messages) {
        const offset = BigInt(message.offset)
        // The broker sends whole batches, so also what lies before the position.
        if (offset < position) continue
        if (end !== undefined && offset >= end) return end
        while (begun[0] !== undefined && BigInt(begun[0].firstOffset) <= offset)
          aborted.add(begun.shift()?.producerId ?? '')
        const producerId = message.batchContext?.producerId ?? ''
        if (message.isControlRecord) aborted.delete(producerId)
        else if (!(message.batchContext?.inTransaction && aborted.has(producerId)))
          onRecord(toRecord(topic, partition, message))
      }
      const last = messages.at(-1)
      if (last) position = offsetAfter(last)
      // A batch of which compaction left nothing.
      else if (lastStableOffset > position) position++
      // An open transaction: read-committed shows no more.
      else if (end !== undefined) return position
    } catch (error) {
      // The leader may have moved: the next try asks the one that leads then.
      if (isStopped()) return position
      if (++failures > 5) throw toSinkError(error, `cannot read ${topic}/${partition}`)
      await cluster.refreshMetadata().catch(() => {})
    }
  }
  return position
}

function toRecord(topic: string, partition: number, message: FetchedMessage): ReadRecord {
  return {
    topic,
    partition,
    offset: BigInt(message.offset),
    key: message.key ?? Buffer.alloc(0),
    value: message.value ?? Buffer.alloc(0),
    isTombstone: message.value === null,
    headers: headersOf(message),
    timestampMs: Number(message.timestamp),
  }
}
