import { SinkError } from '../sink/sink.ts'
import type { Admin } from './kafkajs-client.ts'
import { toSinkError } from './kafkajs-errors.ts'

/** @throws SinkError when brokers do not answer now. */
export async function checkCluster(admin: Admin): Promise<void> {
  try {
    await admin.describeCluster()
  } catch (error) {
    throw toSinkError(error, 'Kafka does not answer')
  }
}

/** @throws SinkError `topicMissing` when there is no such topic. */
export async function fetchPartitionCount(admin: Admin, topic: string): Promise<number> {
  let topics: { name: string; partitions: unknown[] }[]
  try {
    topics = (await admin.fetchTopicMetadata({ topics: [topic] })).topics
  } catch (error) {
    throw toSinkError(error, `cannot read the metadata of topic "${topic}"`)
  }
  const count = topics.find((entry) => entry.name === topic)?.partitions.length ?? 0
  if (count === 0) throw new SinkError('topicMissing', 'UNKNOWN_TOPIC_OR_PARTITION', `topic "${topic}" does not exist`)
  return count
}

/** Resolves also when the topic is there already. */
export async function createOneTopic(
  admin: Admin,
  topic: string,
  partitions: number,
  replicationFactor: number,
  config: Readonly<Record<string, string>> = {},
): Promise<void> {
  const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }))
  try {
    await admin.createTopics({
      topics: [{ topic, numPartitions: partitions, replicationFactor, configEntries }],
      waitForLeaders: true,
      timeout: 8_000,
    })
  } catch (error) {
    throw toSinkError(error, `cannot create topic "${topic}"`)
  }
}
