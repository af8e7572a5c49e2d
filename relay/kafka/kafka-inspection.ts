import type { KafkaTarget, RelayLogger } from '../types.ts'
import { type Admin, createClient } from './kafkajs-client.ts'
import { type ClusterBroker, createCluster, type KafkajsCluster, ProtocolReader, sendRaw } from './kafkajs-cluster.ts'
import { toSinkError } from './kafkajs-errors.ts'
import { settle, withLimit } from './with-limit.ts'

// A look at Kafka that changes nothing: metadata with what we are allowed to do, configurations, the cluster's clock. Over
// kafkajs, whichever client produces.

const STEP_LIMIT_MS = 10_000
const CONFIG_OF = { topic: 2, broker: 4 } as const

/** https://kafka.apache.org/documentation/#operations_in_kafka: bit = the operation's code. */
const OPERATIONS: readonly (readonly [code: number, name: string])[] = [
  [3, 'Read'],
  [4, 'Write'],
  [5, 'Create'],
  [6, 'Delete'],
  [7, 'Alter'],
  [8, 'Describe'],
  [9, 'ClusterAction'],
  [10, 'DescribeConfigs'],
  [11, 'AlterConfigs'],
  [12, 'IdempotentWrite'],
]

export interface InspectedTopic {
  readonly name: string
  /** Kafka's error code, 0: none; 3: no such topic; 29: no right to see it; 17: not a topic's name. */
  readonly errorCode: number
  readonly isInternal: boolean
  readonly partitions: readonly {
    readonly leader: number
    readonly replicas: readonly number[]
    readonly inSync: readonly number[]
  }[]
  /** What we may do; undefined: the broker does not say. */
  readonly operations: readonly string[] | undefined
}

export interface InspectedCluster {
  readonly clusterId: string
  readonly brokers: readonly { readonly nodeId: number; readonly host: string; readonly port: number }[]
  readonly topics: readonly InspectedTopic[]
}

export interface KafkaInspection {
  /** Brokers and the named topics; `undefined`: every topic that we may see. */
  metadata(topics: readonly string[] | undefined): Promise<InspectedCluster>
  /** Undefined where we may not see it. */
  topicConfig(topic: string): Promise<ReadonlyMap<string, string> | undefined>
  brokerConfig(nodeId: number): Promise<ReadonlyMap<string, string> | undefined>
  /** Asks for a producer id, as an idempotent producer does first; writes nothing. Throws SinkError. */
  tryProducer(): Promise<void>
  /** The controller's clock, milliseconds since 1970, and how long the question took; undefined where it is not told. */
  clock(): Promise<{ readonly atMs: number; readonly tookMs: number } | undefined>
  close(): Promise<void>
}

/**
 * Connects, each step within 10 s.
 *
 * @throws SinkError when no broker answers or the user is refused.
 */
export async function openKafkaInspection(target: KafkaTarget, logger: RelayLogger): Promise<KafkaInspection> {
  const kafka = createClient(target, logger)
  const cluster = createCluster(kafka)
  await limited(cluster.connect(), 'cannot connect to Kafka')
  await limited(cluster.refreshMetadata(), 'cannot read the metadata of the cluster')
  let admin: Admin | undefined
  const opened = async () => {
    if (admin === undefined) {
      const fresh = kafka.admin({ retry: { retries: 0 } })
      await limited(fresh.connect(), 'cannot connect to Kafka')
      admin = fresh
    }
    return admin
  }
  const config = async (type: number, name: string) => {
    try {
      const answer = await limited(
        (await opened()).describeConfigs({ resources: [{ type: type as never, name }], includeSynonyms: false }),
        `cannot read the configuration of "${name}"`,
      )
      const entries = answer.resources[0]?.configEntries ?? []
      return new Map(entries.map((entry) => [entry.configName, entry.configValue ?? '']))
    } catch (error) {
      // A right that we need not have.
      if (/AUTHORIZATION_FAILED|UNKNOWN_TOPIC/.test(toSinkError(error, '').type)) return undefined
      throw error
    }
  }
  return {
    metadata: async (topics) => readMetadata(seedOf(cluster), topics),
    topicConfig: (topic) => config(CONFIG_OF.topic, topic),
    brokerConfig: (nodeId) => config(CONFIG_OF.broker, String(nodeId)),
    async tryProducer() {
      const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, retry: { retries: 1 } })
      try {
        await limited(producer.connect(), 'Kafka gives no producer id')
      } finally {
        await withLimit(settle(producer.disconnect()), 2_000)
      }
    },
    clock: () => readClock(cluster),
    async close() {
      await withLimit(Promise.all([settle(admin?.disconnect()), settle(cluster.disconnect())]), 2_000)
    },
  }
}

async function limited<T>(promise: Promise<T>, doing: string): Promise<T> {
  const missed = Symbol('missed')
  try {
    const settled = await withLimit(
      promise.then((value) => [value] as const),
      STEP_LIMIT_MS,
    )
    if (settled === undefined) throw missed
    return settled[0]
  } catch (error) {
    if (error === missed) throw toSinkError(new Error(`no answer in ${STEP_LIMIT_MS} ms`), doing)
    throw toSinkError(error, doing)
  }
}

/** Connected, since the cluster is. */
function seedOf(cluster: KafkajsCluster): ClusterBroker {
  const { seedBroker } = cluster.brokerPool
  if (!seedBroker) throw toSinkError(new Error('the cluster has no connection'), 'cannot reach a broker')
  return seedBroker
}

/** Metadata 8 (Kafka 2.3): the first version that tells what we are allowed to do. */
async function readMetadata(broker: ClusterBroker, topics: readonly string[] | undefined): Promise<InspectedCluster> {
  const names = (topics ?? []).map((name) => {
    const bytes = Buffer.from(name)
    const length = Buffer.alloc(2)
    length.writeInt16BE(bytes.length)
    return Buffer.concat([length, bytes])
  })
  const count = Buffer.alloc(4)
  count.writeInt32BE(topics === undefined ? -1 : topics.length)
  // allow_auto_topic_creation, include_cluster_authorized_operations, include_topic_authorized_operations
  const body = Buffer.concat([count, ...names, Buffer.from([0, 0, 1])])
  const bytes = await limited(
    sendRaw(broker, { apiKey: 3, apiName: 'Metadata', apiVersion: 8, body }),
    'cannot read the metadata of topics',
  )
  const from = new ProtocolReader(bytes)
  from.int32() // throttle time
  const brokers = from.array(() => {
    const one = { nodeId: from.int32(), host: from.string(), port: from.int32() }
    from.string() // rack
    return one
  })
  const clusterId = from.string()
  from.int32() // controller
  const found = from.array((): InspectedTopic => {
    const errorCode = from.int16()
    const name = from.string()
    const isInternal = from.int8() === 1
    const partitions = from.array(() => {
      from.int16() // its error: also told by a missing leader
      from.int32() // index
      const leader = from.int32()
      from.int32() // leader epoch
      const replicas = from.array(from.int32)
      const inSync = from.array(from.int32)
      from.array(from.int32) // offline
      return { leader, replicas, inSync }
    })
    return { errorCode, name, isInternal, partitions, operations: operationsOf(from.int32()) }
  })
  return { clusterId, brokers, topics: found }
}

function operationsOf(bits: number): readonly string[] | undefined {
  // -2^31: not asked for, or not known.
  if (bits === -2_147_483_648) return undefined
  return OPERATIONS.filter(([code]) => (bits & (1 << code)) !== 0).map(([, name]) => name)
}

const DESCRIBE_QUORUM = 55

/** DescribeQuorum 1 (KRaft, Kafka 3.3): the leader of the quorum tells the time of its answer. Needs Describe on the cluster. */
async function readClock(cluster: KafkajsCluster): Promise<{ atMs: number; tookMs: number } | undefined> {
  const broker = seedOf(cluster)
  if ((broker.versions?.[DESCRIBE_QUORUM]?.maxVersion ?? -1) < 1) return undefined
  const topic = Buffer.from('__cluster_metadata')
  const body = Buffer.concat([
    Buffer.from([0, 2, topic.length + 1]), // tags of the header; one topic; its name
    topic,
    Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]), // one partition, 0, and tags
  ])
  const began = performance.now()
  const bytes = await limited(
    sendRaw(broker, { apiKey: DESCRIBE_QUORUM, apiName: 'DescribeQuorum', apiVersion: 1, body }),
    'cannot ask for the quorum',
  )
  const tookMs = performance.now() - began
  const from = new ProtocolReader(bytes)
  from.tags()
  if (from.int16() !== 0) return undefined
  const [leaderMs] = from.compactArray(() => {
    from.compactString()
    const times = from.compactArray(() => {
      from.int32()
      const errorCode = from.int16()
      const leader = from.int32()
      from.int32()
      from.int64()
      const voters = from.compactArray(() => readReplica(from))
      from.compactArray(() => readReplica(from))
      from.tags()
      return errorCode === 0 ? voters.find(({ id }) => id === leader)?.fetchedAtMs : undefined
    })
    from.tags()
    return times[0]
  })
  return leaderMs === undefined || leaderMs <= 0 ? undefined : { atMs: leaderMs, tookMs }
}

function readReplica(from: ProtocolReader): { id: number; fetchedAtMs: number } {
  const id = from.int32()
  from.int64()
  const fetchedAtMs = Number(from.int64())
  from.int64()
  from.tags()
  return { id, fetchedAtMs }
}
