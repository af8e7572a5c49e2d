import { HELD_BACK, type Sink, SinkError, type SinkRecord, UNKNOWN_PARTITION } from '../sink/sink.ts'
import type { KafkaTarget, RelayLogger } from '../types.ts'
import { compressionOf } from './compression.ts'
import { Deadlines } from './deadlines.ts'
import { findInLog, isInLog } from './find-in-log.ts'
import { DUPLICATE_SEQUENCE } from './kafka-errors.ts'
import type { Broker, Connection, Platformatic } from './platformatic-client.ts'
import { PlatformaticCluster } from './platformatic-cluster.ts'
import { toSinkError } from './platformatic-errors.ts'
import { openPartitionLog, readPartition } from './platformatic-log.ts'
import { type PartitionAnswer, ProducePipeline } from './produce-pipeline.ts'
import { type BatchProducer, RecordBatchEncoder } from './record-batch.ts'
import { settle, withLimit } from './with-limit.ts'

// The library's connections, authentication and protocol; the idempotent producer is ours:
//
//   send ─▶ leader (cached) ─▶ connection ─▶ Produce(batch, producer id, sequence of the partition) ─▶ answer checked
//                                                     the sequence moves on only with a good answer
//
// Not the library's own Producer, because that one retries inside itself (and keeps every error of an outage in memory), drops
// its producer id when a send fails for good, and assigns sequences between two awaits: another partition's failure can
// give a batch the sequence of an earlier one, which the broker then takes for a repetition and does not write.

const SEND_WATCHDOG_MS = 120_000
const CLOSE_LIMIT_MS = 10_000
/** How long the broker may wait for its replicas; below the connection's request time-out of 8 s. */
const PRODUCE_TIMEOUT_MS = 6_000
const TOPIC_TIMEOUT_MS = 6_000
const LOADING_ATTEMPTS = 30
const LOADING_PAUSE_MS = 100
const LARGEST_SEQUENCE = 0x7fffffff
/** After these the batch may be in the log all the same: the leader's time-out, and too few replicas after the append. */
const WRITTEN_PERHAPS: ReadonlySet<number> = new Set([-1, 7, 20])
/** The leader is another one: look before the next try. */
const STALE_LEADER: ReadonlySet<number> = new Set([3, 5, 6, 9, 56, 74, 75])
const TOPIC_EXISTS = 36

/** What we know of one topic-partition. */
interface Log {
  /** Of the next record. */
  sequence: number
  /** Offset after the last batch that was acknowledged. */
  end: bigint | undefined
  /** Create time of a batch whose outcome is not known. */
  triedMs: number | undefined
  /** The producer that tried is gone: look into the log before sending again. */
  inDoubt: boolean
}

interface Producer extends BatchProducer {
  readonly cluster: PlatformaticCluster
  readonly pipelines: Map<Connection, ProducePipeline>
}

export interface PlatformaticSinkOptions {
  readonly library: Platformatic
  readonly target: KafkaTarget
  readonly logger: RelayLogger
  /** Milliseconds; for tests. Default 120,000. */
  readonly sendWatchdogMs?: number
  /** Bytes of a request that has batches of several partitions. Default 900,000. */
  readonly requestBytes?: number
  /** Sequence of a partition's first record; for tests of its wrap. Default 0. */
  readonly firstSequence?: number
}

/**
 * The fast sink, over the protocol layer of @platformatic/kafka 2.12.1.
 *
 * @example
 * const library = await loadPlatformatic()
 * const sink = createPlatformaticSink({ library, target: settings.kafka, logger })
 * @throws ConfigurationError when this Node.js has not the codec that `target.compression` names.
 */
export function createPlatformaticSink(options: PlatformaticSinkOptions): Sink {
  const { library, target, logger, firstSequence = 0, requestBytes = 900_000 } = options
  const watchdogMs = options.sendWatchdogMs ?? SEND_WATCHDOG_MS
  const encoder = new RecordBatchEncoder({
    crc32c: (bytes) => library.crc32c(library.Writer.create().append(bytes).dynamicBuffer),
    compression: compressionOf(target.compression, library),
  })
  const logs = new Map<string, Log>()
  const watchdog = new Deadlines(watchdogMs)
  /** Brokers that failed us, for all producers. */
  const failedAtMs = new Map<string, number>()
  let producer: Producer | undefined
  let connecting: Promise<Producer> | undefined
  let opening: PlatformaticCluster | undefined
  let closed = false

  async function open(): Promise<Producer> {
    if (closed) throw new SinkError('retry', 'CLOSED', 'the sink is closed')
    const cluster = new PlatformaticCluster(library, target, failedAtMs)
    opening = cluster
    try {
      const { producerId, producerEpoch } = await producerIdOf(cluster, () => closed)
      if (closed) throw new SinkError('retry', 'CLOSED', 'the sink is closed')
      producer = { cluster, id: producerId, epoch: producerEpoch, pipelines: new Map() }
      logger.debug({ sink: 'platformatic', producerId: String(producerId) }, 'has a producer id')
      return producer
    } catch (error) {
      await withLimit(settle(cluster.close()), CLOSE_LIMIT_MS)
      throw toSinkError(error, 'cannot connect to Kafka')
    } finally {
      opening = undefined
    }
  }

  function connected(): Promise<Producer> {
    if (producer) return Promise.resolve(producer)
    connecting ??= open().finally(() => {
      connecting = undefined
    })
    return connecting
  }

  function logOf(topic: string, partition: number): Log {
    const key = `${topic}/${partition}`
    let log = logs.get(key)
    if (!log) {
      log = { sequence: firstSequence, end: undefined, triedMs: undefined, inDoubt: false }
      logs.set(key, log)
    }
    return log
  }

  async function produce(
    topic: string,
    partition: number,
    records: readonly SinkRecord[],
    mayLeave: () => boolean,
    isGivenUp: () => boolean,
  ): Promise<true> {
    const current = producer ?? (await connected())
    const { cluster } = current
    const doing = `cannot produce to ${topic}/${partition}`
    const log = logOf(topic, partition)
    if (log.inDoubt) {
      const batch = { records, from: log.end, sinceMs: log.triedMs }
      const found = await isInLog({ topic, partition, logger }, async () =>
        findInLog(await openPartitionLog({ cluster, topic, partition }), batch),
      )
      // Whoever asked has gone, and looks again with the next producer.
      if (isGivenUp()) throw new SinkError('retry', 'SEND_TIMEOUT', `${doing}: it was given up`)
      log.inDoubt = false
      log.triedMs = undefined
      if (found) return true
    }
    // Each wait costs a batch as much as encoding its first few records.
    const pipeline = pipelineNow(current, topic, partition) ?? (await openPipeline(current, topic, partition))
    // A later producer has begun every sequence anew.
    const refusal = () => {
      if (current !== producer)
        return new SinkError('retry', 'PRODUCER_REPLACED', `${doing}: the producer was replaced`)
      return mayLeave() ? undefined : new SinkError('retry', HELD_BACK, `${doing}: the records may not leave now`)
    }
    const refused = refusal()
    if (refused) throw refused
    const triedMs = log.triedMs
    log.triedMs ??= records[0]?.timestampMs
    let result: PartitionAnswer
    try {
      result = await pipeline.send({ topic, partition, records, producer: current, sequence: log.sequence, refusal })
    } catch (error) {
      if (error instanceof SinkError) {
        if (error.type === HELD_BACK && current === producer) log.triedMs = triedMs
      } else {
        cluster.failed(pipeline.broker)
        cluster.forget(topic)
      }
      throw toSinkError(error, doing)
    }
    if (result.errorCode !== 0 && result.errorCode !== DUPLICATE_SEQUENCE) {
      if (STALE_LEADER.has(result.errorCode)) cluster.forget(topic)
      if (!WRITTEN_PERHAPS.has(result.errorCode)) log.triedMs = triedMs
      const fault = toSinkError(new library.ProtocolError(result.errorCode), doing)
      // An earlier try may have been written all the same. Given up, its sequences would go to the next batch, and a broker that has
      // them takes that one for a repetition and does not write it.
      if (fault.kind === 'record' && triedMs !== undefined)
        throw new SinkError('renew', fault.type, `${fault.message}; an earlier try may be in the log`, { cause: fault })
      // A leader that is moving answers so, too: whether the topic exists is for its metadata to say, at the next try.
      throw fault.kind === 'topicMissing' ? new SinkError('retry', fault.type, fault.message, { cause: fault }) : fault
    }
    // Given up, the batch comes again with the next producer: its fate is looked up there.
    if (current !== producer || isGivenUp()) return true
    log.triedMs = undefined
    log.sequence = sequenceAfter(log.sequence, records.length)
    if (result.baseOffset >= 0n) log.end = result.baseOffset + BigInt(records.length)
    return true
  }

  /** From now on nothing is sent with the present producer, and no lane waits for it; what it has open is the caller's to end. */
  function dropProducer(): Producer | undefined {
    const old = producer
    producer = undefined
    for (const pipeline of old?.pipelines.values() ?? []) pipeline.close()
    return old
  }

  async function openPipeline(
    { cluster, pipelines }: Producer,
    topic: string,
    partition: number,
  ): Promise<ProducePipeline> {
    const broker = await leaderOf(cluster, topic, partition)
    // Who cannot be reached may lead no longer, whatever the metadata said that were asked for just before.
    const unreachable = (error: unknown) => {
      cluster.forget(topic)
      throw error
    }
    const connection = await cluster.connection(broker).catch(unreachable)
    const api = await cluster.api(connection, 'Produce').catch(unreachable)
    let pipeline = pipelines.get(connection)
    if (!pipeline) {
      for (const [other, one] of pipelines)
        if (!other.isConnected()) {
          pipelines.delete(other)
          one.close()
        }
      const [timeoutMs, mostBytes] = [PRODUCE_TIMEOUT_MS, requestBytes]
      pipeline = new ProducePipeline({ library, broker, connection, encoder, api, timeoutMs, mostBytes })
      pipelines.set(connection, pipeline)
    }
    return pipeline
  }

  const sink: Sink = {
    name: 'platformatic',

    async connect() {
      await connected()
    },

    async check() {
      await (await connected()).cluster.check()
    },

    async partitionCount(topic) {
      return (await (await connected()).cluster.refresh(topic)).length
    },

    async createTopic(topic, partitions, replicationFactor) {
      const { cluster } = await connected()
      const wanted = { name: topic, numPartitions: partitions, replicationFactor, assignments: [], configs: [] }
      try {
        await cluster.request(await cluster.controller(), 'CreateTopics', [wanted], TOPIC_TIMEOUT_MS, false)
      } catch (error) {
        const { errors } = error as { errors?: readonly { apiCode?: number }[] }
        if (errors?.[0]?.apiCode === TOPIC_EXISTS) return
        throw toSinkError(error, `cannot create topic "${topic}"`)
      }
    },

    whenWritable(topic, partition) {
      return producer && pipelineNow(producer, topic, partition)?.whenWritable()
    },

    async send(topic, partition, records, mayLeave = () => true) {
      if (records.length === 0) return
      let done: true | undefined
      let givenUp = false
      try {
        const leaves = () => !givenUp && mayLeave()
        done = await watchdog.within(produce(topic, partition, records, leaves, () => givenUp))
        givenUp = !done
      } catch (error) {
        throw toSinkError(error, `cannot produce to ${topic}/${partition}`)
      }
      if (!done)
        throw new SinkError(
          'renew',
          'SEND_TIMEOUT',
          `cannot produce to ${topic}/${partition}: no answer in ${watchdogMs} ms`,
        )
    },

    async readAll(topic, onRecord) {
      const { cluster } = await connected()
      const { length } = await cluster.refresh(topic)
      for (let partition = 0; partition < length; partition++)
        await readPartition({ cluster, topic, partition }, onRecord)
    },

    async renew() {
      logger.warn({ sink: 'platformatic' }, 'replacing the Kafka producer')
      const old = dropProducer()
      for (const log of logs.values()) {
        log.sequence = firstSequence
        if (log.triedMs !== undefined) log.inDoubt = true
      }
      if (old) await withLimit(settle(old.cluster.close()), CLOSE_LIMIT_MS)
      await connected()
    },

    async close() {
      closed = true
      const old = dropProducer()
      await withLimit(Promise.all([settle(old?.cluster.close()), settle(opening?.close())]), CLOSE_LIMIT_MS)
    },
  }
  return sink
}

/** A broker that has just started says for a moment that it is loading. */
async function producerIdOf(
  cluster: PlatformaticCluster,
  isClosed: () => boolean,
): Promise<{ readonly producerId: bigint; readonly producerEpoch: number }> {
  for (let attempt = 1; ; attempt++) {
    try {
      // No transactional id, time-out of transactions, no id to go on with.
      return await cluster.request(await cluster.anyConnection(), 'InitProducerId', null, 60_000, -1n, -1)
    } catch (error) {
      const fault = toSinkError(error, 'cannot get a producer id')
      if (fault.type !== 'COORDINATOR_LOAD_IN_PROGRESS' || attempt === LOADING_ATTEMPTS || isClosed()) throw fault
      await new Promise((resolve) => setTimeout(resolve, LOADING_PAUSE_MS))
    }
  }
}

/** That of the partition's leader, where it is known and its connection is up. */
function pipelineNow({ cluster, pipelines }: Producer, topic: string, partition: number): ProducePipeline | undefined {
  const broker = cluster.broker(cluster.leaders(topic)?.[partition] ?? -1)
  const connection = broker && cluster.established(broker)
  return connection && pipelines.get(connection)
}

/** @throws SinkError for a partition that is not there: a topic that was made again with fewer, or a defect of the caller. */
async function leaderOf(cluster: PlatformaticCluster, topic: string, partition: number): Promise<Broker> {
  let leaders = cluster.leaders(topic)
  if (!leaders || partition >= leaders.length) leaders = await cluster.refresh(topic)
  const leader = leaders[partition]
  if (leader === undefined)
    throw new SinkError(
      'retry',
      UNKNOWN_PARTITION,
      `topic "${topic}" has ${leaders.length} partitions, none of them is number ${partition}`,
    )
  const broker = cluster.broker(leader)
  if (broker) return broker
  cluster.forget(topic)
  throw new SinkError('retry', 'LEADER_NOT_AVAILABLE', `${topic}/${partition} has no leader now`)
}

/** Sequences go round after 2^31 - 1, as brokers and Java's producer count them. */
export function sequenceAfter(sequence: number, records: number): number {
  const next = sequence + records
  return next > LARGEST_SEQUENCE ? next - LARGEST_SEQUENCE - 1 : next
}
