import type { Kafka } from './kafkajs-client.ts'

// What kafkajs 2.2.4 (pinned) has inside and not at its face: requests to a broker of our choice, reading a partition
// without a consumer group (which would need rights on one and be left behind), and two requests that it does not know.

/** A broker as kafkajs' cluster hands it out, as far as it is used. */
export interface ClusterBroker {
  readonly nodeId: number | string
  /** Api key → the versions that this broker has. */
  readonly versions: Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>> | null
  readonly connectionPool: { send(protocol: object): Promise<Buffer> }
  fetch(
    request: object,
  ): Promise<{ readonly responses: readonly { readonly partitions: readonly FetchedPartition[] }[] }>
  listOffsets(
    request: object,
  ): Promise<{ readonly responses: readonly { readonly partitions: readonly { readonly offset: string }[] }[] }>
}

export interface FetchedPartition {
  readonly highWatermark: string
  readonly lastStableOffset: string
  readonly abortedTransactions: readonly { readonly producerId: string; readonly firstOffset: string }[] | null
  readonly messages: readonly FetchedMessage[]
}

export interface FetchedMessage {
  readonly offset: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, Buffer | Buffer[] | null>> | null
  readonly timestamp: string
  readonly isControlRecord: boolean
  readonly batchContext?: {
    readonly inTransaction: boolean
    readonly producerId: string
    readonly firstOffset?: string
    readonly lastOffsetDelta: number
  }
}

export interface KafkajsCluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>
  refreshMetadata(): Promise<void>
  findTopicPartitionMetadata(topic: string): readonly { readonly partitionId: number; readonly leader: number }[]
  findBroker(which: { readonly nodeId: number | string }): Promise<ClusterBroker>
  /** The one of the settings that answered: it does, wherever the brokers say that they are. */
  readonly brokerPool: { readonly seedBroker: ClusterBroker | undefined }
}

/** A cluster of this client's brokers, TLS and user; `connect()` and `disconnect()` it. */
export function createCluster(kafka: Kafka): KafkajsCluster {
  const create = Object.getOwnPropertySymbols(kafka).find((symbol) => symbol.description?.endsWith('createCluster'))
  if (create === undefined) throw new Error('this is not kafkajs 2.2.4')
  const factory = (kafka as unknown as Record<symbol, (options: object) => KafkajsCluster>)[create]
  return (factory as (options: object) => KafkajsCluster)({ allowAutoTopicCreation: false, metadataMaxAge: 30_000 })
}

/** One request in the broker's own bytes; resolves to the bytes of the answer after its correlation id. */
export function sendRaw(
  broker: ClusterBroker,
  request: { readonly apiKey: number; readonly apiName: string; readonly apiVersion: number; readonly body: Buffer },
): Promise<Buffer> {
  const { body, ...names } = request
  return broker.connectionPool.send({
    // kafkajs takes for an encoder what has these two.
    request: { ...names, encode: async () => ({ buf: body, buffer: body }) },
    response: { decode: async (bytes: { buffer?: Buffer } | Buffer) => ({ bytes }), parse: parseRaw },
    logResponseError: false,
  })
}

async function parseRaw({ bytes }: { readonly bytes: unknown }): Promise<Buffer> {
  if (!Buffer.isBuffer(bytes)) throw new Error('kafkajs handed over no bytes')
  return bytes
}

/** Reads Kafka's primitive types in order; throws RangeError past the end. https://kafka.apache.org/protocol#protocol_types */
export class ProtocolReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  int8 = () => this.#bytes.readInt8(this.#skip(1))
  int16 = () => this.#bytes.readInt16BE(this.#skip(2))
  int32 = () => this.#bytes.readInt32BE(this.#skip(4))
  int64 = () => this.#bytes.readBigInt64BE(this.#skip(8))

  /** Nullable: '' for null. */
  string(): string {
    return this.#text(this.int16())
  }

  array<T>(read: () => T): T[] {
    return Array.from({ length: Math.max(0, this.int32()) }, read)
  }

  compactString(): string {
    return this.#text(this.uvarint() - 1)
  }

  compactArray<T>(read: () => T): T[] {
    return Array.from({ length: Math.max(0, this.uvarint() - 1) }, read)
  }

  /** Skips the tagged fields of a flexible version. */
  tags(): void {
    for (let count = this.uvarint(); count > 0; count--) {
      this.uvarint()
      this.#skip(this.uvarint())
    }
  }

  uvarint(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes.readUInt8(this.#skip(1))
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    throw new RangeError('a length of more than 32 bits')
  }

  #text(length: number): string {
    if (length < 0) return ''
    const start = this.#skip(length)
    return this.#bytes.toString('utf8', start, start + length)
  }

  #skip(length: number): number {
    const start = this.#at
    if (start + length > this.#bytes.length) throw new RangeError('the answer is shorter than it says')
    this.#at += length
    return start
  }
}
