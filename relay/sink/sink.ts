/**
 * A record's key, value and headers as Kafka's record format has them, lengths and counts included: what stands in a record
 * after its deltas.
 */
export interface PreparedFields {
  readonly slab: Buffer
  readonly start: number
  readonly end: number
}

/** One record, ready to be produced. Byte arrays are the relay's own copies and never change. */
export interface SinkRecord {
  readonly key: Buffer
  readonly value: Buffer
  /** In the order in which they are written; names are unique. */
  readonly headers: Readonly<Record<string, string>>
  /** Milliseconds since 1970 (Kafka's create time). */
  readonly timestampMs: number
  /** The same three in Kafka's own form, where the relay has it; a sink may use it instead of them. */
  readonly prepared?: PreparedFields
}

/** A record read back. */
export interface StoredRecord {
  readonly partition: number
  readonly offset: bigint
  readonly key: Buffer
  readonly value: Buffer
  readonly headers: Readonly<Record<string, string>>
  readonly timestampMs: number
}

/**
 * What failed, in the words of a decision (relay/policy.ts), not of a client's library:
 *
 * - `retry`: the same batch again on the same producer may succeed; the outcome of this try may be unknown.
 * - `renew`: this producer cannot go on; `renew()` and then the same batch again.
 * - `record`: a record of the batch can never be taken (too large, corrupt, invalid topic).
 * - `configuration`: an operator must mend it (ACL, authentication, version); the same batch again, slowly.
 * - `topicMissing`: the topic does not exist.
 */
export type SinkFaultKind = 'retry' | 'renew' | 'record' | 'configuration' | 'topicMissing'

/** Type of the fault of a `send` to a partition that the topic has not (any more). */
export const UNKNOWN_PARTITION = 'UNKNOWN_PARTITION'
/** Type of the fault of a `send` that was told, when its turn came, that it may not leave: nothing of it was written by this try. */
export const HELD_BACK = 'HELD_BACK'

/** Why a sink could not do what it was asked. Carries no payload, key or secret. */
export class SinkError extends Error {
  override readonly name = 'SinkError'
  readonly kind: SinkFaultKind
  /** The broker's or client's own name of the error, bounded in number: usable as a metric label. */
  readonly type: string

  constructor(kind: SinkFaultKind, type: string, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.kind = kind
    this.type = type
  }
}

/**
 * Where records go. An implementer promises:
 *
 * - `send` resolves only when every record of the batch is durable (all in-sync replicas), in the order given, in the
 *   partition given; anything else, an empty or odd acknowledgement too, rejects with a {@link SinkError}.
 * - The same batch sent again after a `retry` is written at most once more than needed, never reordered with others of
 *   its partition. The caller has at most one `send` open for each partition and repeats exactly the same batch.
 * - Nothing here waits for a timer before it sends.
 */
export interface Sink {
  /** Short name for logs: `kafkajs`. */
  readonly name: string
  /** Resolves when brokers answer. Rejects with a {@link SinkError}; may be called again. */
  connect(): Promise<void>
  /** Resolves when brokers answer now (connecting first where needed). Rejects with a {@link SinkError} otherwise. */
  check(): Promise<void>
  /** Partition count from fresh metadata. Rejects with `topicMissing` when there is no such topic. */
  partitionCount(topic: string): Promise<number>
  createTopic(topic: string, partitions: number, replicationFactor: number): Promise<void>
  /**
   * Resolves when a batch for this partition would leave soon; undefined: now. What comes until then can go with it, in a larger
   * batch. Advice only: a `send` without it is as good.
   */
  whenWritable?(topic: string, partition: number): Promise<void> | undefined
  /** @param mayLeave asked where records had to wait inside the sink; false: they are not written, and the fault is {@link HELD_BACK}. */
  send(topic: string, partition: number, records: readonly SinkRecord[], mayLeave?: () => boolean): Promise<void>
  /** Hands over every record of a topic from its beginning to its end as it is now, each partition in order. Needed for `block-key` only. */
  readAll?(topic: string, onRecord: (record: StoredRecord) => void): Promise<void>
  /** A new producer in place of one that cannot go on. Called only while no `send` is open. */
  renew(): Promise<void>
  /** Closes within 10 s, whatever the brokers do. Never rejects. */
  close(): Promise<void>
}
