// What Kafka itself says of a contestant: how many records there are, and when the first and the last were appended.
import { Kafka, logLevel } from 'kafkajs'
import { waitFor } from '../../test/support/wait.ts'

/** Of bench topics: the broker, not the producer, gives each record its time, so that all contestants have one clock. */
export const TOPIC_CONFIG = { 'message.timestamp.type': 'LogAppendTime' } as const

export interface Ends {
  /** In all topics. */
  records(): Promise<number>
  /** Appended at `ms` or later. */
  recordsSince(ms: number): Promise<number>
  close(): Promise<void>
}

/** One connection for all questions, so that asking costs little. */
export async function openEnds(brokers: readonly string[], topics: readonly string[]): Promise<Ends> {
  const admin = new Kafka({ brokers: [...brokers], clientId: 'bench-ends', logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const sum = (values: readonly string[]) => values.reduce((total, value) => total + Number(value), 0)
  const high = async (): Promise<number> => {
    let total = 0
    for (const topic of topics) total += sum((await admin.fetchTopicOffsets(topic)).map((one) => one.high))
    return total
  }
  // A topic that has just been made may have no leader yet.
  await waitFor(async () => [await high()], { what: 'the ends of the topics' })
  return {
    records: high,
    async recordsSince(ms) {
      const end = await high()
      let start = 0
      for (const topic of topics)
        start += sum((await admin.fetchTopicOffsetsByTimestamp(topic, ms)).map(({ offset }) => offset))
      return end - start
    },
    close: () => admin.disconnect(),
  }
}

/** From the first to the last record of those appended at `sinceMs` or later, to the millisecond. */
export async function secondsInKafka(ends: Pick<Ends, 'recordsSince'>, sinceMs: number): Promise<number> {
  const all = await ends.recordsSince(sinceMs)
  const firstMs = await lastMsWith((records) => records === all)
  return ((await lastMsWith((records) => records > 0)) - firstMs) / 1000

  async function lastMsWith(holds: (records: number) => boolean): Promise<number> {
    let low = sinceMs
    let high = Date.now() + 1
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (holds(await ends.recordsSince(middle))) low = middle
      else high = middle
    }
    return low
  }
}
