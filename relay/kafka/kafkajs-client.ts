import kafkajs, { type Admin, type Kafka, type logLevel, type Producer, type Transaction } from 'kafkajs'
import type { KafkaTarget, RelayLogger } from '../types.ts'
import { compressZstd, decompressZstd } from './compression.ts'
import { createFramedSocket } from './framed-socket.ts'

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
