import kafkajs, {
  type Admin,
  type Kafka,
  type logLevel,
  type Message,
  type PartitionerArgs,
  type Producer,
  type Transaction,
} from 'kafkajs'
import type { KafkaTarget, RelayLogger } from '../types.ts'
import { compressZstd, decompressZstd } from './compression.ts'
import { createFramedSocket } from './framed-socket.ts'

export type { Admin, Kafka, Message, PartitionerArgs, Producer, Transaction }

// The only file that imports kafkajs. It is CommonJS: named imports of values do not work from ESM in every bundler.
const { Kafka: KafkaClient, CompressionCodecs, CompressionTypes, logLevel: LogLevel } = kafkajs

/** As kafkajs knows it. */
export interface KafkajsCodec {
  compress(encoder: { readonly buffer: Buffer }): Promise<Buffer>
  decompress(bytes: Buffer): Promise<Buffer>
}
/** By number; process-wide, so a codec that somebody else has given it stays. Looked up whenever one is needed. */
export const codecs = CompressionCodecs as Record<number, (() => KafkajsCodec) | undefined>

// kafkajs has only gzip; zstd is Node's.
try {
  codecs[CompressionTypes.ZSTD]?.()
} catch {
  codecs[CompressionTypes.ZSTD] = () => ({
    compress: async ({ buffer }) => compressZstd(buffer),
    decompress: async (bytes) => decompressZstd(bytes),
  })
}
export const COMPRESSION = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
} as const

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
