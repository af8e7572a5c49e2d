import { ConfigurationError } from '../../src/errors.ts'
import { SinkError } from '../sink/sink.ts'
import { FencedError, type TransactionalSend, type TransactionalSink } from '../sink/transactional-sink.ts'
import type { KafkaTarget, RelayLogger } from '../types.ts'
import { kafkajsCodecs } from './compression.ts'
import { checkCluster, createOneTopic, fetchPartitionCount } from './kafkajs-admin.ts'
import { type Admin, createClient, type Producer, type Transaction } from './kafkajs-client.ts'
import { EncodedBatches, partitionOfMessage } from './kafkajs-encoded.ts'
import { toSinkError } from './kafkajs-errors.ts'
import { readLastCommitted } from './kafkajs-partition.ts'
import { settle, withLimit } from './with-limit.ts'

/** The coordinator aborts a transaction that is open for longer: its records hold up read-committed consumers meanwhile. */
const TRANSACTION_TIMEOUT_MS = 30_000
/** A step that takes longer is given up: the transaction has timed out on the coordinator by then. */
const STEP_LIMIT_MS = 40_000
const ABORT_LIMIT_MS = 2_000
const CLOSE_LIMIT_MS = 10_000
/** The transaction of another slot's relay that died may be open for so long. */
const READ_LIMIT_MS = TRANSACTION_TIMEOUT_MS + 15_000
const METADATA_MAX_AGE_MS = 30_000
/** Far from the 2^31 sequences of a partition: past them kafkajs fails for ever. */
const RECORDS_PER_PRODUCER = 2 ** 30

/**
 * Transactions over kafkajs 2.2.4: after anything that fails the producer is dropped, and `fence` makes a new one under the
 * same id. Its transaction object does not outlive a moved coordinator, and a producer whose commit failed is stuck in its
 * state machine.
 *
 * @example const sink = createKafkajsTransactions({ target: settings.kafka, logger }); await sink.fence('factlib-1-shop')
 */
export function createKafkajsTransactions(options: {
  readonly target: KafkaTarget
  readonly logger: RelayLogger
}): TransactionalSink {
  return new KafkajsTransactions(options)
}

class KafkajsTransactions implements TransactionalSink {
  readonly name = 'kafkajs'
  readonly #target: KafkaTarget
  readonly #logger: RelayLogger
  readonly #kafka: ReturnType<typeof createClient>
  readonly #batches: EncodedBatches
  #admin: Promise<Admin> | undefined
  #producer: Producer | undefined
  /** Begun and not committed: the one that `fence` began, or the one that is being written. */
  #transaction: Transaction | undefined
  #aborting: Promise<unknown> = Promise.resolve()
  #written = 0
  #closed = false

  constructor({ target, logger }: { readonly target: KafkaTarget; readonly logger: RelayLogger }) {
    this.#target = target
    this.#logger = logger
    this.#kafka = createClient(target, logger)
    this.#batches = new EncodedBatches(target.compression)
  }

  async open(): Promise<void> {
    const { compression } = this.#target
    const codecs = kafkajsCodecs()
    if (!codecs.includes(compression))
      throw new ConfigurationError([
        `KAFKA_COMPRESSION=${compression}: EXACTLY_ONCE writes with kafkajs, which has ${codecs.join(', ')} on this Node.js`,
      ])
    this.#logger.info({ client: 'kafkajs', reason: 'EXACTLY_ONCE writes with it', compression }, 'the Kafka client')
  }

  async check(): Promise<void> {
    await checkCluster(await this.#connectedAdmin())
  }

  async partitionCount(topic: string): Promise<number> {
    return fetchPartitionCount(await this.#connectedAdmin(), topic)
  }

  async createTopic(
    topic: string,
    partitions: number,
    replicationFactor: number,
    config?: Readonly<Record<string, string>>,
  ): Promise<void> {
    await createOneTopic(await this.#connectedAdmin(), topic, partitions, replicationFactor, config)
  }

  async fence(transactionalId: string): Promise<void> {
    await this.#drop()
    if (this.#closed) throw closedError()
    const producer = this.#kafka.producer({
      transactionalId,
      transactionTimeout: TRANSACTION_TIMEOUT_MS,
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      metadataMaxAge: METADATA_MAX_AGE_MS,
      createPartitioner: () => partitionOfMessage,
      // Short at first: right after a commit the coordinator may still be writing its markers (CONCURRENT_TRANSACTIONS).
      retry: { retries: 9, initialRetryTime: 10, maxRetryTime: 2_000 },
    })
    try {
      await withinLimit(producer.connect(), 'connecting the transactional producer')
      // kafkajs asks for the producer id, which fences, with the first transaction.
      this.#transaction = await withinLimit(producer.transaction(), `fencing ${transactionalId}`)
    } catch (error) {
      void settle(producer.disconnect())
      throw toSinkError(error, 'cannot begin to write in transactions')
    }
    this.#producer = producer
    this.#written = 0
    if (this.#closed) {
      await this.#drop()
      throw closedError()
    }
  }

  async readLast(topic: string, key: string): Promise<Buffer | undefined> {
    return readLastCommitted(this.#kafka, topic, key, READ_LIMIT_MS)
  }

  async commit(sends: readonly TransactionalSend[]): Promise<void> {
    const producer = this.#producer
    if (producer === undefined) throw new SinkError('renew', 'NOT_FENCED', 'there is no transactional producer')
    if (this.#written > RECORDS_PER_PRODUCER)
      throw new SinkError('renew', 'SEQUENCES_USED_UP', `this producer has written ${this.#written} records`)
    try {
      this.#transaction ??= await withinLimit(producer.transaction(), 'beginning a transaction')
      const transaction = this.#transaction
      for (const send of sends) await this.#send(transaction, send)
      await withinLimit(transaction.commit(), 'committing')
      this.#transaction = undefined
    } catch (error) {
      const fault = toTransactionError(error)
      // Consumers wait behind an open transaction: it ends now, not when the next producer fences. After a commit that was
      // tried this does nothing.
      if (!(fault instanceof FencedError)) await this.#abort()
      this.#producer = undefined
      this.#transaction = undefined
      void settle(producer.disconnect())
      throw fault
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    const admin = this.#admin
    this.#admin = undefined
    await withLimit(
      Promise.all([
        this.#abort().then(() => this.#drop()),
        settle(Promise.resolve(admin).then((open) => open?.disconnect())),
      ]),
      CLOSE_LIMIT_MS,
    )
  }

  async #send(transaction: Transaction, { topic, partition, records }: TransactionalSend): Promise<void> {
    const batch = this.#batches.open(partition, records)
    const answer = await withinLimit(batch.send(transaction, topic), `producing to ${topic}/${partition}`).finally(() =>
      batch.close(),
    )
    const [only] = answer
    // kafkajs resolves `[]` with nothing sent while brokers come and go.
    if (answer.length !== 1 || only?.partition !== partition || only.errorCode !== 0)
      throw new SinkError('retry', 'EMPTY_ACKNOWLEDGEMENT', `the acknowledgement does not name ${topic}/${partition}`)
    this.#written += records.length
  }

  /** Whoever asks second waits for the same: a producer must not be closed under its abort. */
  #abort(): Promise<unknown> {
    const transaction = this.#transaction
    this.#transaction = undefined
    if (transaction?.isActive()) this.#aborting = withLimit(settle(transaction.abort()), ABORT_LIMIT_MS)
    return this.#aborting
  }

  /** Its requests that still go on are of an older epoch once `fence` has a new one: they change nothing. */
  async #drop(): Promise<void> {
    const producer = this.#producer
    this.#producer = undefined
    this.#transaction = undefined
    if (producer) await withLimit(settle(producer.disconnect()), ABORT_LIMIT_MS)
  }

  #connectedAdmin(): Promise<Admin> {
    if (this.#closed) return Promise.reject(closedError())
    this.#admin ??= this.#connectAdmin().catch((error: unknown) => {
      this.#admin = undefined
      throw error
    })
    return this.#admin
  }

  async #connectAdmin(): Promise<Admin> {
    const admin = this.#kafka.admin({ retry: { retries: 1, initialRetryTime: 100, maxRetryTime: 500 } })
    try {
      await admin.connect()
    } catch (error) {
      await settle(admin.disconnect())
      throw toSinkError(error, 'cannot connect to Kafka')
    }
    return admin
  }
}

async function withinLimit<T>(promise: Promise<T>, doing: string): Promise<T> {
  const done = await withLimit(
    promise.then((value) => ({ value })),
    STEP_LIMIT_MS,
  )
  if (done === undefined) throw new SinkError('renew', 'STEP_TIMEOUT', `${doing} took longer than ${STEP_LIMIT_MS} ms`)
  return done.value
}

/** 47 INVALID_PRODUCER_EPOCH and 90 PRODUCER_FENCED, which kafkajs does not know by name: our epoch is not the last one. */
function toTransactionError(error: unknown): SinkError {
  const fault = toSinkError(error, 'cannot write in a transaction')
  const fenced = fault.type === 'INVALID_PRODUCER_EPOCH' || /unknown error code 90\b/i.test(fault.message)
  return fenced ? new FencedError(fault.message, { cause: error }) : fault
}

function closedError(): SinkError {
  return new SinkError('retry', 'CLOSED', 'the sink is closed')
}
