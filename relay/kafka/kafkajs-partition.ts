import { SinkError } from '../sink/sink.ts'
import type { Kafka } from './kafkajs.ts'
import { toSinkError } from './kafkajs-errors.ts'

// Reads the last committed record of a key, by Fetch requests of our own: kafkajs' consumer would join a group first
// (seconds, and one more right to be given), and its read-committed filter is wrong where aborted transactions overlap (it
// takes them in the order in which they ended, not began).

/** How many offsets before the end are looked through first; four times as many each time nothing is found. */
const FIRST_STEP = 5_000n
const FETCH_BYTES = 4 * 1024 * 1024
const FETCH_WAIT_MS = 250
const READ_UNCOMMITTED = 0
const READ_COMMITTED = 1
const LATEST = '-1'
const EARLIEST = '-2'
/** https://kafka.apache.org/documentation/#controlbatch: version i16, type i16. */
const ABORT_MARKER = 0
const COMMIT_MARKER = 1

/** What a Fetch brings, as far as it is needed. */
export interface FetchedRecord {
  readonly offset: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly isControlRecord: boolean
  readonly batchContext: { readonly inTransaction: boolean; readonly producerId: string }
}

interface FetchedPartition {
  readonly highWatermark: string
  readonly lastStableOffset: string
  readonly messages: readonly FetchedRecord[]
}

interface PartitionRequest {
  readonly topic: string
  readonly partitions: readonly object[]
}

interface Broker {
  fetch(request: {
    replicaId: -1
    isolationLevel: number
    maxWaitTime: number
    minBytes: 1
    maxBytes: number
    topics: readonly PartitionRequest[]
  }): Promise<{ responses: { partitions: FetchedPartition[] }[] }>
  listOffsets(request: {
    replicaId: -1
    isolationLevel: number
    topics: readonly PartitionRequest[]
  }): Promise<{ responses: { partitions: { offset: string }[] }[] }>
}

/** kafkajs' own cluster; inside since 1.0, and its version is pinned. */
interface Cluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>
  findTopicPartitionMetadata(topic: string): readonly { readonly partitionId: number; readonly leader: number }[]
  findBroker(which: { nodeId: number }): Promise<Broker>
}

/** A cluster with the client's own brokers, TLS and SASL. Not connected. */
export function openCluster(kafka: Kafka): Cluster {
  const symbol = Object.getOwnPropertySymbols(kafka).find(
    ({ description }) => description === 'private:Kafka:createCluster',
  )
  if (symbol === undefined) throw new Error('this version of kafkajs is not the one that the relay was made for')
  const create = (kafka as unknown as Record<symbol, (options: object) => Cluster>)[symbol]
  return (create as (options: object) => Cluster)({ metadataMaxAge: 30_000, allowAutoTopicCreation: false })
}

/**
 * Follows one key through records and markers: a record of a transaction counts once the marker of its producer says
 * commit. Pure.
 */
export class CommittedKey {
  readonly #key: Buffer
  /** Producer → its record whose marker has not come. */
  readonly #undecided = new Map<string, Buffer>()
  last: Buffer | undefined

  constructor(key: string) {
    this.#key = Buffer.from(key)
  }

  get isDecided(): boolean {
    return this.#undecided.size === 0
  }

  take({ key, value, isControlRecord, batchContext }: FetchedRecord): void {
    const { producerId, inTransaction } = batchContext
    if (isControlRecord) {
      const marker = key?.readInt16BE(2)
      const record = this.#undecided.get(producerId)
      if (marker === COMMIT_MARKER && record !== undefined) this.last = record
      if (marker === COMMIT_MARKER || marker === ABORT_MARKER) this.#undecided.delete(producerId)
    } else if (key?.equals(this.#key)) {
      const content = value ?? Buffer.alloc(0)
      if (inTransaction) this.#undecided.set(producerId, content)
      else this.last = content
    }
  }
}

/**
 * The value of the last committed record of a key in partition 0, seen from the partition's end as it is at the call; an
 * empty buffer for a record without value. Undecided transactions before that end are waited for.
 *
 * @param limitMs milliseconds for all of it.
 * @throws SinkError
 */
export async function readLastCommitted(
  kafka: Kafka,
  topic: string,
  key: string,
  limitMs: number,
): Promise<Buffer | undefined> {
  const cluster = openCluster(kafka)
  const untilMs = performance.now() + limitMs
  try {
    await cluster.connect()
    await cluster.addMultipleTargetTopics([topic])
    const leader = cluster.findTopicPartitionMetadata(topic).find(({ partitionId }) => partitionId === 0)?.leader
    if (leader === undefined)
      throw new SinkError('topicMissing', 'UNKNOWN_TOPIC_OR_PARTITION', `topic "${topic}" does not exist`)
    const broker = await cluster.findBroker({ nodeId: leader })
    const low = await readOffset(broker, topic, EARLIEST)
    const high = await readOffset(broker, topic, LATEST)
    for (let step = FIRST_STEP; ; step *= 4n) {
      const start = high - step > low ? high - step : low
      const found = await scan({ broker, topic, key, start, high, untilMs })
      if (found !== undefined || start === low) return found
    }
  } catch (error) {
    throw toSinkError(error, `cannot read topic "${topic}"`)
  } finally {
    // Best effort: its sockets go with it.
    void cluster.disconnect().catch(() => {})
  }
}

/** The high watermark, not the last stable offset: what is undecided is to be waited for, not left out. */
async function readOffset(broker: Broker, topic: string, timestamp: string): Promise<bigint> {
  const { responses } = await broker.listOffsets({
    replicaId: -1,
    isolationLevel: READ_UNCOMMITTED,
    topics: [{ topic, partitions: [{ partition: 0, timestamp }] }],
  })
  const offset = responses[0]?.partitions[0]?.offset
  if (offset === undefined) throw new SinkError('retry', 'NO_OFFSET', `no offset of topic "${topic}"`)
  return BigInt(offset)
}

async function scan(work: {
  readonly broker: Broker
  readonly topic: string
  readonly key: string
  readonly start: bigint
  readonly high: bigint
  readonly untilMs: number
}): Promise<Buffer | undefined> {
  const { broker, topic, high, untilMs } = work
  const committed = new CommittedKey(work.key)
  let position = work.start
  while (position < high || !committed.isDecided) {
    if (performance.now() > untilMs)
      throw new SinkError(
        'retry',
        'POSITION_UNDECIDED',
        `a transaction of another producer on topic "${topic}" is open for too long`,
      )
    const { responses } = await broker.fetch({
      replicaId: -1,
      // Bounded by the last stable offset; which records were aborted is told by the markers.
      isolationLevel: READ_COMMITTED,
      maxWaitTime: FETCH_WAIT_MS,
      minBytes: 1,
      maxBytes: FETCH_BYTES,
      topics: [{ topic, partitions: [{ partition: 0, fetchOffset: String(position), maxBytes: FETCH_BYTES }] }],
    })
    const fetched = responses[0]?.partitions[0]
    if (fetched === undefined) throw new SinkError('retry', 'EMPTY_FETCH', `nothing was said of topic "${topic}"`)
    for (const record of fetched.messages) {
      // The broker sends whole batches, so also what lies before the position.
      if (BigInt(record.offset) < position) continue
      position = BigInt(record.offset) + 1n
      committed.take(record)
    }
    // Compaction may have taken what was last: nothing came, and everything before the end is decided.
    if (fetched.messages.length === 0 && BigInt(fetched.lastStableOffset) >= high && committed.isDecided) break
  }
  return committed.last
}
