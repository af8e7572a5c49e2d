import { SinkError, type SinkRecord } from './sink.ts'

/** Records of one partition, in order. */
export interface TransactionalSend {
  readonly topic: string
  readonly partition: number
  readonly records: readonly SinkRecord[]
}

/** Somebody else has taken over the transactional id: stop, and do not take it back while they hold the slot. */
export class FencedError extends SinkError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('renew', 'PRODUCER_FENCED', message, options)
  }
}

/**
 * Where records go in transactions. An implementer promises:
 *
 * - After `fence` resolves, nobody who held the transactional id before can write or commit anything any more, this
 *   process' own earlier producer included, and what they left open is aborted.
 * - `commit` resolves only when every record is durable and committed, all or none, each partition in order. After a
 *   rejection the outcome may be unknown; only `fence` may follow, and `readLast` tells it.
 * - `readLast` sees every transaction that was committed before it was called.
 */
export interface TransactionalSink {
  /** Short name for logs. */
  readonly name: string
  /** @throws ConfigurationError when the settings ask for what this client cannot do. */
  open(): Promise<void>
  /** Resolves when brokers answer now. Rejects with a {@link SinkError} otherwise. */
  check(): Promise<void>
  /** From fresh metadata. Rejects with `topicMissing` when there is no such topic. */
  partitionCount(topic: string): Promise<number>
  createTopic(
    topic: string,
    partitions: number,
    replicationFactor: number,
    config?: Readonly<Record<string, string>>,
  ): Promise<void>
  /** A new producer under this id, in place of every other. */
  fence(transactionalId: string): Promise<void>
  /** The value of the last committed record with this key in partition 0; undefined: there is none. */
  readLast(topic: string, key: string): Promise<Buffer | undefined>
  /**
   * One transaction. Rejects with a {@link FencedError} when somebody else has fenced us, else with a {@link SinkError}.
   */
  commit(sends: readonly TransactionalSend[]): Promise<void>
  /** Closes within 10 s; aborts what is open. Never rejects. */
  close(): Promise<void>
}
