import { randomUUID } from 'node:crypto'
import { SinkError, type StoredRecord } from '../sink/sink.ts'
import type { Admin, Kafka } from './kafkajs.ts'
import { toSinkError } from './kafkajs-errors.ts'

/** A read that makes no progress for this long has failed, milliseconds. */
const STALL_MS = 30_000

/**
 * Reads a topic from its beginning to its end as it is at the call, with a consumer group of its own that commits nothing
 * and is deleted afterwards.
 *
 * @throws SinkError `topicMissing` when there is no such topic.
 */
export async function readAllRecords(
  kafka: Kafka,
  admin: Admin,
  topic: string,
  onRecord: (record: StoredRecord) => void,
): Promise<void> {
  let ends: Map<number, bigint>
  try {
    const offsets = await admin.fetchTopicOffsets(topic)
    ends = new Map(
      offsets
        .filter(({ low, high }) => BigInt(high) > BigInt(low))
        .map(({ partition, high }) => [partition, BigInt(high)]),
    )
  } catch (error) {
    throw toSinkError(error, `cannot read topic "${topic}"`)
  }
  if (ends.size === 0) return
  const groupId = `factlib-reader-${randomUUID()}`
  const consumer = kafka.consumer({ groupId, retry: { retries: 3 }, maxWaitTimeInMs: 100 })
  try {
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      let timer: NodeJS.Timeout
      const progress = () => {
        clearTimeout(timer)
        timer = setTimeout(
          reject,
          STALL_MS,
          new SinkError('retry', 'READ_STALLED', `reading topic "${topic}" made no progress`),
        )
      }
      const done = (partition: number, nextOffset: bigint) => {
        const end = ends.get(partition)
        if (end !== undefined && nextOffset >= end) ends.delete(partition)
        if (ends.size > 0) return
        clearTimeout(timer)
        resolve()
      }
      progress()
      // A batch may hold only markers of transactions: its last offset counts, not its records.
      consumer.on('consumer.end_batch_process', ({ payload }) =>
        done(payload.partition, BigInt(payload.lastOffset) + 1n),
      )
      consumer
        .run({
          autoCommit: false,
          eachBatch: async ({ batch }) => {
            progress()
            for (const { offset, key, value, headers, timestamp } of batch.messages) {
              const end = ends.get(batch.partition)
              if (end === undefined || BigInt(offset) >= end) continue
              onRecord({
                partition: batch.partition,
                offset: BigInt(offset),
                key: key ?? Buffer.alloc(0),
                value: value ?? Buffer.alloc(0),
                headers: Object.fromEntries(Object.entries(headers ?? {}).map(([name, text]) => [name, String(text)])),
                timestampMs: Number(timestamp),
              })
            }
          },
        })
        .catch(reject)
    })
  } catch (error) {
    throw toSinkError(error, `cannot read topic "${topic}"`)
  } finally {
    await consumer.disconnect().catch(() => {})
    await admin.deleteGroups([groupId]).catch(() => {})
  }
}
