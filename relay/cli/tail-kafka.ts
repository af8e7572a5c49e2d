import type { RelayConfiguration } from '../config/settings.ts'
import { openKafkaInspection } from '../kafka/kafka-inspection.ts'
import { openTopicReader, type ReadRecord } from '../kafka/kafkajs-fetch.ts'
import { silentLogger } from '../observer.ts'
import { SinkError } from '../sink/sink.ts'
import type { RelaySettings, Route } from '../types.ts'
import { CliError } from './cli-error.ts'
import type { TailMessage, TailSource } from './tail.ts'

/** With a filter, so many of the latest records of each partition are looked at. */
const LOOKED_AT = 10_000

/** Facts as they are in Kafka; no consumer group, nothing is committed. */
export async function openKafkaTail(
  { settings, routes }: Pick<RelayConfiguration, 'settings' | 'routes'>,
  given: readonly string[],
): Promise<TailSource> {
  try {
    const topics = given.length > 0 ? given : await ownTopics(settings, routes)
    if (topics.length === 0)
      throw new CliError(
        `no topic of prefix ${settings.prefixes.map((one) => `"${one}"`).join(', ')} is there: name it with --topic`,
      )
    const reader = await openTopicReader(settings.kafka, silentLogger, topics)
    return {
      async recent(limit, passes) {
        const records: ReadRecord[] = []
        for (const { low, high, ...place } of reader.partitions) {
          const own: ReadRecord[] = []
          // Few of the latest, and when too few of them pass, more.
          for (const depth of [limit, LOOKED_AT]) {
            const offset = high - BigInt(depth) > low ? high - BigInt(depth) : low
            own.length = 0
            await reader.read({ ...place, offset }, { untilEnd: true }, (record) => own.push(record))
            if (offset === low || own.filter((record) => passes(toTail(record))).length >= limit) break
          }
          records.push(...own)
        }
        records.sort(
          (a, b) => a.timestampMs - b.timestampMs || a.partition - b.partition || Number(a.offset - b.offset),
        )
        return records.filter((record) => !record.isTombstone).map(toTail)
      },
      async follow(onMessage, signal) {
        await Promise.all(
          reader.partitions.map(({ high, ...place }) =>
            reader.read({ ...place, offset: high }, { untilEnd: false, signal }, (record) => onMessage(toTail(record))),
          ),
        )
      },
      close: () => reader.close(),
    }
  } catch (error) {
    if (error instanceof SinkError) throw new CliError(error.message, { cause: error })
    throw error
  }
}

/** Existing topics of our prefixes, and those of routes. */
export async function ownTopics(settings: RelaySettings, routes: readonly Route[]): Promise<string[]> {
  const kafka = await openKafkaInspection(settings.kafka, silentLogger)
  try {
    const { topics } = await kafka.metadata(undefined)
    const routed = new Set(routes.map(({ topic }) => topic))
    const every = settings.prefixes.includes('*')
    return topics
      .filter(({ name, isInternal }) => !isInternal && name !== settings.deadLetter?.topic)
      .map(({ name }) => name)
      .filter((name) => every || routed.has(name) || settings.prefixes.some((prefix) => name.startsWith(`${prefix}.`)))
      .sort()
  } finally {
    await kafka.close()
  }
}

function toTail(record: ReadRecord): TailMessage {
  const { topic, partition, offset, value, headers, timestampMs } = record
  return {
    topic,
    prefix: topic.slice(0, topic.lastIndexOf('.')),
    position: `${partition}@${offset}`,
    atMs: timestampMs,
    value,
    id: headers['event_id'],
  }
}
