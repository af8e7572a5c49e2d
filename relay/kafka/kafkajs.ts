import kafkajs, { type Admin, type Kafka, type logLevel, type Producer, type Transaction } from 'kafkajs'
import { type Sink, SinkError } from '../sink/sink.ts'
import type { KafkaTarget, RelayLogger } from '../types.ts'
import { compressZstd, decompressZstd } from './compression.ts'
import { createFramedSocket } from './framed-socket.ts'
import { checkCluster, createOneTopic, fetchPartitionCount } from './kafkajs-admin.ts'
import { isDuplicateSequence, toSinkError } from './kafkajs-errors.ts'
import { readAllRecords } from './kafkajs-reader.ts'
import { settle, withLimit } from './with-limit.ts'

export type { Admin, Kafka, Producer, Transaction }

// The only file that imports kafkajs. It is CommonJS: named imports of values do not work from ESM in every bundler.
const { Kafka: KafkaClient, CompressionCodecs, CompressionTypes, logLevel: LogLevel } = kafkajs

// kafkajs has only gzip; zstd is Node's. Process-wide, so a codec that somebody else has given it stays.
try {
  CompressionCodecs[CompressionTypes.ZSTD]()
} catch {
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: async (encoder: { readonly buffer: Buffer }) => compressZstd(encoder.buffer),
    decompress: async (bytes: Buffer) => decompressZstd(bytes),
  })
}
export const COMPRESSION = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
} as const

/** Past this a send is given up as unknown and the producer is renewed (kafkajs can hang in its lock for ever). */
const SEND_WATCHDOG_MS = 120_000
const CLOSE_LIMIT_MS = 10_000
const METADATA_MAX_AGE_MS = 30_000
/** A send that took less has not been tried again by kafkajs itself: its first pause is 200 ms, less a fifth. */
const RETRY_MS = 150
/** Half of the sequences that a producer has for a partition: past the end kafkajs fails for ever (it does not go round). */
const RECORDS_PER_PRODUCER = 2 ** 30

/**
 * The sink over kafkajs 2.2.4: an idempotent producer, one explicit topic-partition a send, the acknowledgement checked.
 *
 * Options and guards are those that came through broker faults: a send over several partitions, two sends to one
 * partition at once, or an unchecked `[]` acknowledgement lose records with this client.
 *
 * @example const sink = createKafkajsSink({ target: settings.kafka, logger }); await sink.connect()
 */
export function createKafkajsSink(options: {
  readonly target: KafkaTarget
  readonly logger: RelayLogger
  /** Milliseconds; for tests. Default 120,000. */
  readonly sendWatchdogMs?: number
  /** Records of one partition after which the producer is replaced; for tests. Default 2^30. */
  readonly recordsPerProducer?: number
}): Sink {
  const { target, logger } = options
  const watchdogMs = options.sendWatchdogMs ?? SEND_WATCHDOG_MS
  const kafka = createClient(target, logger)
  const compression = COMPRESSION[target.compression]
  const recordsPerProducer = options.recordsPerProducer ?? RECORDS_PER_PRODUCER
  /** Records that this producer has written, by topic-partition. */
  const written = new Map<string, number>()
  /** Partition counts as they were when this producer began to use a topic. */
  const counts = new Map<string, number>()
  /** Every topic that this producer was asked to write to. */
  const topicsOfProducer = new Set<string>()
  /** Since when sends to a topic-partition end with an empty acknowledgement. */
  const emptySinceMs = new Map<string, number>()
  /** Topic-partitions where a batch may be in the log although its sends have failed: kafkajs gives its sequences to the next. */
  const doubtful = new Set<string>()
  /** Topic-partitions where the broker has said "duplicate": kafkajs counts that as not written. */
  const mustRenew = new Set<string>()
  /** Topic-partitions whose refused batch goes to a new producer, which has it in no log. */
  const retried = new Set<string>()
  let admin: Admin | undefined
  let producer: Producer | undefined
  let connecting: Promise<void> | undefined
  let closed = false

  async function connectOnce(): Promise<void> {
    const newProducer = kafka.producer({
      idempotent: true,
      maxInFlightRequests: 5,
      allowAutoTopicCreation: false,
      metadataMaxAge: METADATA_MAX_AGE_MS,
      // Every record names its partition; the relay owns the partitioner.
      createPartitioner: () => (args) => args.message.partition as number,
      retry: { retries: 5, initialRetryTime: 200, maxRetryTime: 2_000 },
    })
    const newAdmin = kafka.admin({ retry: { retries: 1, initialRetryTime: 100, maxRetryTime: 500 } })
    try {
      await Promise.all([newAdmin.connect(), newProducer.connect()])
    } catch (error) {
      await Promise.all([settle(newAdmin.disconnect()), settle(newProducer.disconnect())])
      throw toSinkError(error, 'cannot connect to Kafka')
    }
    if (closed) {
      await Promise.all([settle(newAdmin.disconnect()), settle(newProducer.disconnect())])
      throw new SinkError('retry', 'CLOSED', 'the sink is closed')
    }
    admin = newAdmin
    producer = newProducer
  }

  async function disconnect(): Promise<void> {
    const old = [admin, producer]
    admin = undefined
    producer = undefined
    await withLimit(Promise.all(old.map((client) => settle(client?.disconnect()))), CLOSE_LIMIT_MS)
  }

  /** kafkajs resolves `[]` for a partition that it does not know, and sends nothing. */
  async function checkPartition(topic: string, partition: number): Promise<void> {
    const known = counts.get(topic)
    if (known !== undefined && partition < known) return
    const count = await sink.partitionCount(topic)
    if (partition >= count)
      throw new SinkError(
        'configuration',
        'UNKNOWN_PARTITION',
        `topic "${topic}" has ${count} partitions, none of them is number ${partition}`,
      )
    if (known !== undefined)
      throw new SinkError(
        'renew',
        'PARTITIONS_ADDED',
        `topic "${topic}" has ${count} partitions, the producer knows ${known}`,
      )
    counts.set(topic, count)
  }

  /**
   * kafkajs asks for all topics that a producer has written to at once, and fails for all when one of them is gone; it
   * never forgets one. So the topic at fault may be another one, and then only a new producer helps.
   */
  async function whichIsMissing(topic: string, fault: SinkError): Promise<SinkError> {
    // Asked by itself before the next send, so that a new producer does not get to know what is not there.
    counts.delete(topic)
    for (const name of new Set([topic, ...topicsOfProducer])) {
      try {
        await sink.partitionCount(name)
      } catch (error) {
        if ((error as SinkError).kind !== 'topicMissing' || name === topic) return fault
        return new SinkError('renew', 'TOPIC_DELETED', `${fault.message}: topic "${name}", which it wrote to, is gone`)
      }
    }
    return fault
  }

  const sink: Sink = {
    name: 'kafkajs',

    connect() {
      if (producer) return Promise.resolve()
      connecting ??= connectOnce().finally(() => {
        connecting = undefined
      })
      return connecting
    },

    async check() {
      await sink.connect()
      await checkCluster(admin as Admin)
    },

    async partitionCount(topic) {
      await sink.connect()
      return fetchPartitionCount(admin as Admin, topic)
    },

    async readAll(topic, onRecord) {
      await sink.connect()
      await readAllRecords(kafka, admin as Admin, topic, onRecord)
    },

    async createTopic(topic, partitions, replicationFactor) {
      await sink.connect()
      await createOneTopic(admin as Admin, topic, partitions, replicationFactor)
    },

    async send(topic, partition, records) {
      await sink.connect()
      await checkPartition(topic, partition)
      topicsOfProducer.add(topic)
      const messages = records.map((record) => ({
        key: record.key,
        value: record.value,
        headers: record.headers as Record<string, string>,
        partition,
        timestamp: String(record.timestampMs),
      }))
      const doing = `cannot produce to ${topic}/${partition}`
      const place = `${topic}/${partition}`
      const count = (written.get(place) ?? 0) + records.length
      if (written.has(place) && count > recordsPerProducer)
        // Between two batches of this partition, so nothing of it is in doubt.
        throw new SinkError('renew', 'SEQUENCES_USED_UP', `${doing}: this producer has written ${count} records there`)
      if (mustRenew.has(place))
        throw new SinkError('renew', 'SEQUENCE_TAKEN', `${doing}: the sequences of this producer are not sure`)
      const startedMs = performance.now()
      let answer: { partition: number; errorCode: number }[] | undefined
      try {
        answer = await withLimit(
          (producer as Producer).send({ topic, messages, acks: -1, timeout: 6_000, compression }),
          watchdogMs,
        )
      } catch (error) {
        if (isDuplicateSequence(error)) {
          mustRenew.add(place)
          return
        }
        const fault = toSinkError(error, doing)
        if (fault.kind !== 'record') {
          doubtful.add(place)
          retried.delete(place)
        } else if (!retried.delete(place) && (doubtful.has(place) || performance.now() - startedMs > RETRY_MS)) {
          // Refused now, but an earlier try may be in the log under the sequences that the next batch would get: the broker
          // would take that one for a repetition, and not write it.
          retried.add(place)
          throw new SinkError('renew', 'FATE_UNKNOWN', `${fault.message}, after a try whose outcome is not known`)
        }
        throw fault.kind === 'topicMissing' ? await whichIsMissing(topic, fault) : fault
      }
      if (answer === undefined) throw new SinkError('renew', 'SEND_TIMEOUT', `${doing}: no answer in ${watchdogMs} ms`)
      const [only] = answer
      if (answer.length !== 1 || only?.partition !== partition || only.errorCode !== 0) {
        // kafkajs resolves `[]` with nothing sent while brokers come and go; when fresh metadata has not mended that,
        // only a new producer does.
        const since = emptySinceMs.get(place) ?? performance.now()
        emptySinceMs.set(place, since)
        throw new SinkError(
          performance.now() - since > METADATA_MAX_AGE_MS + 5_000 ? 'renew' : 'retry',
          'EMPTY_ACKNOWLEDGEMENT',
          `${doing}: the acknowledgement does not name the partition`,
        )
      }
      emptySinceMs.delete(place)
      doubtful.delete(place)
      retried.delete(place)
      written.set(place, count)
    },

    async renew() {
      logger.warn({ sink: 'kafkajs' }, 'replacing the Kafka producer')
      await disconnect()
      written.clear()
      emptySinceMs.clear()
      doubtful.clear()
      mustRenew.clear()
      counts.clear()
      topicsOfProducer.clear()
      await sink.connect()
    },

    async close() {
      closed = true
      await withLimit(
        settle(connecting).then(() => disconnect()),
        CLOSE_LIMIT_MS,
      )
    },
  }
  return sink
}

/** A client, with a SASL object of its own: kafkajs writes into it. */
export function createClient(target: KafkaTarget, logger: RelayLogger): Kafka {
  return new KafkaClient({
    clientId: target.clientId,
    brokers: [...target.brokers],
    ...(target.tls === false ? {} : { ssl: target.tls }),
    ...(target.sasl === undefined ? {} : { sasl: { ...target.sasl } as never }),
    socketFactory: createFramedSocket,
    connectionTimeout: 3_000,
    authenticationTimeout: 8_000,
    requestTimeout: 8_000,
    enforceRequestTimeout: true,
    retry: { retries: 5, initialRetryTime: 200, maxRetryTime: 2_000 },
    logLevel: LogLevel.WARN,
    // Its own words at debug level only: the relay says what matters itself, once, with the operator's hint.
    logCreator: (_level: logLevel) => (entry) =>
      logger.debug({ kafkajs: entry.namespace, detail: entry.log.message }, 'kafkajs'),
  })
}
