import { HELD_BACK, type Sink, SinkError, type SinkRecord, UNKNOWN_PARTITION } from '../sink/sink.ts'
import type { KafkaTarget, RelayLogger } from '../types.ts'
import { findInLog, isInLog } from './find-in-log.ts'
import { checkCluster, createOneTopic, fetchPartitionCount } from './kafkajs-admin.ts'
import { type Admin, createClient, type Producer } from './kafkajs-client.ts'
import { EncodedBatches, partitionOfMessage } from './kafkajs-encoded.ts'
import { toSinkError } from './kafkajs-errors.ts'
import { readWholeTopic } from './kafkajs-fetch.ts'
import { ledPartition, partitionLog, SharedCluster } from './kafkajs-log.ts'
import { settle, withLimit } from './with-limit.ts'

/** Past this a send is given up as unknown and the producer is renewed (kafkajs can hang in its lock for ever). */
const SEND_WATCHDOG_MS = 120_000
const CLOSE_LIMIT_MS = 10_000
const METADATA_MAX_AGE_MS = 30_000
/** Half of the sequences that a producer has for a partition: past the end kafkajs fails for ever (it does not go round). */
const RECORDS_PER_PRODUCER = 2 ** 30

/** What we know of one topic-partition. */
interface Log {
  /** Records that this producer has written. */
  written: number
  /** Offset after the last batch that was acknowledged. */
  end: bigint | undefined
  /** Create time of the first try of a batch that may have been written, although no send of it has succeeded. */
  triedMs: number | undefined
  /** The producer that tried is gone: look into the log before sending again. */
  inDoubt: boolean
  /** Since when sends end with an empty acknowledgement. */
  emptySinceMs: number | undefined
}

/**
 * The sink over kafkajs 2.2.4: an idempotent producer, one explicit topic-partition a send, the acknowledgement checked;
 * the records encoded by us (kafkajs-encoded.ts).
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
  const batches = new EncodedBatches(target.compression)
  const recordsPerProducer = options.recordsPerProducer ?? RECORDS_PER_PRODUCER
  const readers = new SharedCluster(kafka)
  const logs = new Map<string, Log>()
  /** Topics that this producer was asked to write to, and their partition counts as it knows them. */
  const counts = new Map<string, number | undefined>()
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
      createPartitioner: () => partitionOfMessage,
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
        'retry',
        UNKNOWN_PARTITION,
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
    counts.set(topic, undefined)
    for (const name of new Set([topic, ...counts.keys()])) {
      try {
        await sink.partitionCount(name)
      } catch (error) {
        if ((error as SinkError).kind !== 'topicMissing' || name === topic) return fault
        return new SinkError('renew', 'TOPIC_DELETED', `${fault.message}: topic "${name}", which it wrote to, is gone`)
      }
    }
    return fault
  }

  function logOf(topic: string, partition: number): Log {
    const key = `${topic}/${partition}`
    let log = logs.get(key)
    if (!log) {
      log = { written: 0, end: undefined, triedMs: undefined, inDoubt: false, emptySinceMs: undefined }
      logs.set(key, log)
    }
    return log
  }

  function look(topic: string, partition: number, log: Log, records: readonly SinkRecord[]): Promise<boolean> {
    return readers.use(topic, async (cluster) =>
      findInLog(partitionLog(await ledPartition(cluster, topic, partition)), {
        records,
        from: log.end,
        sinceMs: log.triedMs,
      }),
    )
  }

  async function produce(topic: string, partition: number, log: Log, records: readonly SinkRecord[]): Promise<void> {
    const doing = `cannot produce to ${topic}/${partition}`
    const current = producer
    if (!current) throw new SinkError('retry', 'PRODUCER_REPLACED', `${doing}: the producer was replaced`)
    const batch = batches.open(partition, records)
    // From now on it may be in the log, as far as anybody can tell.
    const triedBeforeMs = log.triedMs
    log.triedMs ??= records[0]?.timestampMs
    let answer: Awaited<ReturnType<Producer['send']>> | undefined
    try {
      answer = await withLimit(batch.send(current, topic), watchdogMs)
    } catch (error) {
      const fault = toSinkError(error, doing)
      if (fault.kind === 'topicMissing') throw await whichIsMissing(topic, fault)
      if (fault.kind !== 'record') throw fault
      // Refused now, but an earlier try may be in the log under the sequences that kafkajs would give to the next batch: the
      // broker would take that one for a repetition, and not write it.
      if (triedBeforeMs !== undefined || batch.tries > 1)
        throw new SinkError('renew', 'FATE_UNKNOWN', `${fault.message}, after a try whose outcome is not known`)
      endDoubt(log)
      throw fault
    } finally {
      batch.close()
    }
    if (answer === undefined) throw new SinkError('renew', 'SEND_TIMEOUT', `${doing}: no answer in ${watchdogMs} ms`)
    const [only] = answer
    if (answer.length !== 1 || only?.partition !== partition || only.errorCode !== 0) {
      // kafkajs resolves `[]` with nothing sent while brokers come and go, or for a partition that is gone; when fresh metadata
      // has not mended that, only a new producer does.
      counts.set(topic, undefined)
      log.emptySinceMs ??= performance.now()
      throw new SinkError(
        performance.now() - log.emptySinceMs > METADATA_MAX_AGE_MS + 5_000 ? 'renew' : 'retry',
        'EMPTY_ACKNOWLEDGEMENT',
        `${doing}: the acknowledgement does not name the partition`,
      )
    }
    endDoubt(log)
    log.emptySinceMs = undefined
    if (current === producer) log.written += records.length
    if (only.baseOffset !== undefined && Number(only.baseOffset) >= 0)
      log.end = BigInt(only.baseOffset) + BigInt(records.length)
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
      await readWholeTopic(target, logger, topic, onRecord)
    },

    async createTopic(topic, partitions, replicationFactor) {
      await sink.connect()
      await createOneTopic(admin as Admin, topic, partitions, replicationFactor)
    },

    async send(topic, partition, records, mayLeave) {
      if (records.length === 0) return
      await sink.connect()
      await checkPartition(topic, partition)
      const log = logOf(topic, partition)
      if (log.inDoubt) {
        const found = await isInLog({ topic, partition, logger }, () => look(topic, partition, log, records))
        endDoubt(log)
        if (found) return
      }
      if (log.written > 0 && log.written + records.length > recordsPerProducer)
        // Between two batches of this partition, so nothing of it is in doubt.
        throw new SinkError(
          'renew',
          'SEQUENCES_USED_UP',
          `cannot produce to ${topic}/${partition}: this producer has written ${log.written} records there`,
        )
      if (mayLeave?.() === false)
        throw new SinkError(
          'retry',
          HELD_BACK,
          `cannot produce to ${topic}/${partition}: the records may not leave now`,
        )
      await produce(topic, partition, log, records)
    },

    async renew() {
      logger.warn({ sink: 'kafkajs' }, 'replacing the Kafka producer')
      await disconnect()
      counts.clear()
      for (const log of logs.values()) {
        log.written = 0
        log.emptySinceMs = undefined
        if (log.triedMs !== undefined) log.inDoubt = true
      }
      await sink.connect()
    },

    async close() {
      closed = true
      await withLimit(Promise.all([readers.close(), settle(connecting).then(() => disconnect())]), CLOSE_LIMIT_MS)
    },
  }
  return sink
}

/** The fate of the last batch is known. */
function endDoubt(log: Log): void {
  log.triedMs = undefined
  log.inDoubt = false
}
