// Reads a partition by Fetch requests, without a consumer group: no rebalance to wait for, and an exact end. kafkajs has this
// inside (2.2.4, pinned) but not at its face.
import { createRequire } from 'node:module'

export interface FetchedMessage {
  readonly offset: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, Buffer | Buffer[] | null>>
  readonly timestamp: string
  readonly isControlRecord: boolean
  readonly batchContext: { readonly inTransaction: boolean; readonly producerId: string }
}

interface FetchedPartition {
  readonly errorCode: number
  readonly highWatermark: string
  readonly lastStableOffset: string
  readonly abortedTransactions: readonly { readonly producerId: string; readonly firstOffset: string }[]
  readonly messages: readonly FetchedMessage[]
}

interface Broker {
  /** Throws when a topic is unknown to this broker or a partition has no leader. */
  metadata(topics: readonly string[]): Promise<unknown>
  fetch(request: {
    replicaId: -1
    isolationLevel: 0 | 1
    maxWaitTime: number
    maxBytes: number
    topics: { topic: string; partitions: { partition: number; fetchOffset: string; maxBytes: number }[] }[]
  }): Promise<{ responses: { partitions: FetchedPartition[] }[] }>
}

/** What is used of kafkajs' Cluster. */
export interface Cluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>
  refreshMetadata(): Promise<void>
  findTopicPartitionMetadata(topic: string): readonly { readonly partitionId: number; readonly leader: number }[]
  getNodeIds(): number[]
  findBroker(which: { nodeId: number }): Promise<Broker>
}

const require = createRequire(import.meta.url)
const KafkaCluster = require('kafkajs/src/cluster') as new (options: object) => Cluster
const createSocketFactory = require('kafkajs/src/network/socketFactory') as () => unknown
const silent = { namespace: () => silent, error() {}, warn() {}, info() {}, debug() {} }

const FETCH_BYTES = 8 * 1024 * 1024
const READ_UNCOMMITTED = 0
const READ_COMMITTED = 1

/** A connection to a cluster that knows the given topics' partitions; `disconnect()` it. */
export async function connectCluster(brokers: readonly string[], topics: readonly string[]): Promise<Cluster> {
  const cluster = new KafkaCluster({
    logger: silent,
    socketFactory: createSocketFactory(),
    brokers,
    clientId: 'factlib-test-support',
    connectionTimeout: 3_000,
    authenticationTimeout: 3_000,
    requestTimeout: 10_000,
    enforceRequestTimeout: true,
    metadataMaxAge: 300_000,
    allowAutoTopicCreation: false,
    retry: { retries: 8, initialRetryTime: 50, maxRetryTime: 1_000 },
  })
  await cluster.connect()
  await cluster.addMultipleTargetTopics(topics)
  return cluster
}

/** Reads one partition from its first record on, and remembers where it is. */
export class PartitionReader {
  readonly topic: string
  readonly partition: number
  /** The next offset to read. */
  position = 0n
  readonly #cluster: Cluster
  readonly #committed: boolean
  /** Producers inside a transaction that was aborted. */
  readonly #aborted = new Set<string>()

  constructor(cluster: Cluster, topic: string, partition: number, committed: boolean) {
    this.#cluster = cluster
    this.topic = topic
    this.partition = partition
    this.#committed = committed
  }

  /** The next records, in order; none at the end. Control records, and aborted ones under read-committed, are left out. */
  async next(maxWaitMs: number): Promise<FetchedMessage[]> {
    const fetched = await this.#fetch(maxWaitMs)
    const aborted = [...(fetched.abortedTransactions ?? [])].sort(
      (a, b) => Number(a.firstOffset) - Number(b.firstOffset),
    )
    const records: FetchedMessage[] = []
    for (const message of fetched.messages) {
      const offset = BigInt(message.offset)
      // The broker sends whole batches, so also what lies before the position.
      if (offset < this.position) continue
      this.position = offset + 1n
      while (aborted[0] && BigInt(aborted[0].firstOffset) <= offset)
        this.#aborted.add(aborted.shift()?.producerId ?? '')
      const { producerId, inTransaction } = message.batchContext
      if (message.isControlRecord) this.#aborted.delete(producerId)
      else if (!(this.#committed && inTransaction && this.#aborted.has(producerId))) records.push(message)
    }
    return records
  }

  async #fetch(maxWaitMs: number): Promise<FetchedPartition> {
    const { topic, partition } = this
    const found = this.#cluster.findTopicPartitionMetadata(topic).find(({ partitionId }) => partitionId === partition)
    if (!found) throw new Error(`topic ${topic} has no partition ${partition}`)
    try {
      const broker = await this.#cluster.findBroker({ nodeId: found.leader })
      const { responses } = await broker.fetch({
        replicaId: -1,
        isolationLevel: this.#committed ? READ_COMMITTED : READ_UNCOMMITTED,
        maxWaitTime: maxWaitMs,
        maxBytes: FETCH_BYTES,
        topics: [{ topic, partitions: [{ partition, fetchOffset: String(this.position), maxBytes: FETCH_BYTES }] }],
      })
      const answer = responses[0]?.partitions[0]
      if (!answer) throw new Error(`the broker said nothing of partition ${partition} of ${topic}`)
      return answer
    } catch (error) {
      // The leader may have moved or be down: the next try asks the one that leads then.
      await this.#cluster.refreshMetadata().catch(() => {})
      throw error
    }
  }
}
