import { randomBytes } from 'node:crypto'
import kafkajs, { type Admin, Kafka, logLevel } from 'kafkajs'
import { connectCluster, type FetchedMessage, PartitionReader } from './kafka-fetch.ts'
import { waitFor } from './wait.ts'

process.env['KAFKAJS_NO_PARTITIONER_WARNING'] = '1'

export interface TopicRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** In the record's order, but names that are whole numbers come first and equal names stand together. */
  readonly headers: readonly (readonly [name: string, value: Buffer])[]
  /** Milliseconds since 1970. */
  readonly timestamp: number
}

export interface NewTopic {
  readonly topic: string
  /** Default 1. */
  readonly partitions?: number
  /** Default 1. */
  readonly replicationFactor?: number
  readonly config?: Readonly<Record<string, string>>
}

export interface ReadOptions {
  /** Waits until there are so many records, and then reads up to the end as it is; absent: up to the end at the time of the call. */
  readonly untilCount?: number
  /** Default 30,000. */
  readonly timeoutMs?: number
  /** Leaves out the records of aborted transactions. Default false. */
  readonly committed?: boolean
}

/** The start of names that no other test or run uses: `t3f9c2a8d1b07`; also a fact's prefix, and so the first half of its topic. */
export function uniquePrefix(): string {
  return `t${randomBytes(6).toString('hex')}`
}

/** Creates topics and resolves when every broker knows them and their leaders. */
export async function createTopics(brokers: readonly string[], topics: readonly NewTopic[]): Promise<void> {
  await withAdmin(brokers, async (admin) => {
    await admin.createTopics({
      waitForLeaders: false,
      topics: topics.map(({ topic, partitions = 1, replicationFactor = 1, config = {} }) => ({
        topic,
        numPartitions: partitions,
        replicationFactor,
        configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
      })),
    })
  })
  const names = topics.map(({ topic }) => topic)
  const cluster = await connectCluster(brokers, [])
  try {
    for (const nodeId of cluster.getNodeIds()) {
      const broker = await cluster.findBroker({ nodeId })
      await waitFor(() => broker.metadata(names), { what: `broker ${nodeId} to know ${names.join(', ')}` })
    }
  } finally {
    await cluster.disconnect()
  }
}

/** Deletes a topic and resolves when no broker knows it. */
export async function deleteTopic(brokers: readonly string[], topic: string): Promise<void> {
  await withAdmin(brokers, (admin) => admin.deleteTopics({ topics: [topic] }))
  const cluster = await connectCluster(brokers, [])
  try {
    for (const nodeId of cluster.getNodeIds()) {
      const broker = await cluster.findBroker({ nodeId })
      const isGone = () =>
        broker.metadata([topic]).then(
          () => false,
          (error: Error) => error.message.includes('does not host this topic-partition'),
        )
      await waitFor(isGone, { what: `broker ${nodeId} to forget ${topic}` })
    }
  } finally {
    await cluster.disconnect()
  }
}

/** `topic` → the end offset of each partition, in their order. */
export function highWatermarks(
  brokers: readonly string[],
  topics: readonly string[],
): Promise<ReadonlyMap<string, readonly bigint[]>> {
  return withAdmin(brokers, (admin) => endOffsets(admin, topics))
}

/** Changes settings of a topic; those not named go back to their defaults. */
export async function alterTopic(
  brokers: readonly string[],
  topic: string,
  config: Readonly<Record<string, string>>,
): Promise<void> {
  const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }))
  await withAdmin(brokers, (admin) =>
    admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic, configEntries }],
    }),
  )
}

/** `readTopics` for one topic. */
export function readTopic(brokers: readonly string[], topic: string, options?: ReadOptions): Promise<TopicRecord[]> {
  return readTopics(brokers, [topic], options)
}

/**
 * Every record of some topics, from the beginning up to the end at the time of the call, ordered by topic, partition and offset.
 *
 * @example const records = await readTopics(brokers, ['shop.order', 'shop.user'], { untilCount: 2_000 })
 * @throws when a topic is missing, or the count is not reached in time (the error says how many there were)
 */
export async function readTopics(
  brokers: readonly string[],
  topics: readonly string[],
  options: ReadOptions = {},
): Promise<TopicRecord[]> {
  const { untilCount = 0, timeoutMs = 30_000, committed = false } = options
  const cluster = await connectCluster(brokers, topics)
  try {
    const partitions = topics.flatMap((topic) =>
      [...cluster.findTopicPartitionMetadata(topic)]
        .sort((a, b) => a.partitionId - b.partitionId)
        .map(({ partitionId }) => ({
          reader: new PartitionReader(cluster, topic, partitionId, committed),
          records: [] as TopicRecord[],
        })),
    )
    return await withAdmin(brokers, (admin) =>
      waitFor(
        async () => {
          const ends = await endOffsets(admin, topics)
          for (const { reader, records } of partitions) {
            const end = ends.get(reader.topic)?.[reader.partition] ?? 0n
            while (reader.position < end) {
              for (const message of await reader.next(1_000)) records.push(toRecord(reader, message))
            }
          }
          const all = partitions.flatMap(({ records }) => records)
          if (all.length < untilCount) throw new Error(`there are ${all.length}`)
          return all
        },
        { what: `${untilCount || 'all'} records in ${topics.join(', ')}`, timeoutMs },
      ),
    )
  } finally {
    await cluster.disconnect()
  }
}

async function endOffsets(admin: Admin, topics: readonly string[]): Promise<Map<string, bigint[]>> {
  const ends = new Map<string, bigint[]>()
  for (const topic of topics) {
    const offsets = await admin.fetchTopicOffsets(topic)
    offsets.sort((a, b) => a.partition - b.partition)
    ends.set(
      topic,
      offsets.map(({ high }) => BigInt(high)),
    )
  }
  return ends
}

function toRecord({ topic, partition }: PartitionReader, message: FetchedMessage): TopicRecord {
  const headers = Object.entries(message.headers).flatMap(([name, value]) =>
    [value].flat().map((one): [string, Buffer] => [name, one ?? Buffer.alloc(0)]),
  )
  const { key, value, timestamp } = message
  return { topic, partition, offset: BigInt(message.offset), key, value, headers, timestamp: Number(timestamp) }
}

async function withAdmin<T>(brokers: readonly string[], work: (admin: Admin) => Promise<T>): Promise<T> {
  const kafka = new Kafka({ brokers: [...brokers], clientId: 'factlib-test-support', logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}
