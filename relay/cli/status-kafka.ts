import { openTopicReader } from '../kafka/kafkajs-fetch.ts'
import { silentLogger } from '../observer.ts'
import type { RelaySettings, Route } from '../types.ts'
import { readDeadLetters } from './dead-letters.ts'
import { ownTopics } from './tail-kafka.ts'

export interface TopicStatus {
  readonly topic: string
  readonly partitions: number
  readonly records: string
  readonly recordsPerSecond: number
  /** Of the latest record by its timestamp; null: the topic is empty. */
  readonly last: {
    readonly at: string
    readonly partition: number
    readonly offset: string
    readonly id: string | null
    readonly eventType: string | null
    readonly key: string
  } | null
}

export interface KafkaStatus {
  readonly topics: readonly TopicStatus[]
  /** Open ones by cause; null: there is no dead-letter topic. */
  readonly deadLetters: Readonly<Record<string, number>> | null
}

/** The last records of a partition may be markers of transactions: so many are looked through. */
const LOOKED_BACK = 5n

/** Two looks, `intervalMs` apart. Throws SinkError. */
export async function readKafkaStatus(
  settings: RelaySettings,
  routes: readonly Route[],
  intervalMs: number,
): Promise<KafkaStatus> {
  const names = await ownTopics(settings, routes)
  const before = await ends(settings, names)
  const lookedMs = performance.now()
  await new Promise((resolve) => setTimeout(resolve, intervalMs))
  const reader = await openTopicReader(settings.kafka, silentLogger, names)
  const seconds = (performance.now() - lookedMs) / 1_000
  try {
    const topics: TopicStatus[] = []
    for (const topic of names) {
      let last: (NonNullable<TopicStatus['last']> & { readonly ms: number }) | undefined
      let records = 0n
      const partitions = reader.partitions.filter((one) => one.topic === topic)
      for (const { partition, low, high } of partitions) {
        records += high - low
        const offset = high - LOOKED_BACK > low ? high - LOOKED_BACK : low
        await reader.read({ topic, partition, offset }, { untilEnd: true }, (record) => {
          if (last !== undefined && last.ms > record.timestampMs) return
          last = {
            ms: record.timestampMs,
            at: new Date(record.timestampMs).toISOString(),
            partition,
            offset: String(record.offset),
            id: record.headers['event_id'] ?? null,
            eventType: record.headers['event_type'] ?? null,
            key: record.key.toString(),
          }
        })
      }
      const { ms: _, ...shown } = last ?? { ms: 0 }
      const end = partitions.reduce((sum, { high }) => sum + high, 0n)
      topics.push({
        topic,
        partitions: partitions.length,
        records: String(records),
        recordsPerSecond: Math.round(Number(end - (before.get(topic) ?? end)) / seconds),
        last: last === undefined ? null : (shown as NonNullable<TopicStatus['last']>),
      })
    }
    return { topics, deadLetters: await countDeadLetters(settings) }
  } finally {
    await reader.close()
  }
}

async function ends(settings: RelaySettings, names: readonly string[]): Promise<Map<string, bigint>> {
  const reader = await openTopicReader(settings.kafka, silentLogger, names)
  const sums = new Map<string, bigint>()
  for (const { topic, high } of reader.partitions) sums.set(topic, (sums.get(topic) ?? 0n) + high)
  await reader.close()
  return sums
}

async function countDeadLetters(settings: RelaySettings): Promise<Record<string, number> | null> {
  if (!settings.deadLetter) return null
  const counts: Record<string, number> = {}
  for (const { cause, isResolved } of await readDeadLetters(settings))
    if (!isResolved) counts[cause] = (counts[cause] ?? 0) + 1
  return counts
}
