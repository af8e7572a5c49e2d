import zlib from 'node:zlib'
import { ConfigurationError } from '../../src/errors.ts'
import type { Platformatic } from './platformatic-client.ts'
import type { Codec } from './record-batch.ts'

/** zstd came with Node.js 22.15; the types are those of Node.js 20. */
type ZstdCompress = (bytes: Uint8Array) => Buffer
const { zstdCompressSync, zstdDecompressSync } = zlib as unknown as {
  readonly zstdCompressSync?: ZstdCompress
  readonly zstdDecompressSync?: ZstdCompress
}

export interface Compression {
  readonly codec: Codec
  compress(bytes: Buffer): Uint8Array
}

/** What kafkajs can do by itself here. */
export function kafkajsCodecs(): readonly Codec[] {
  return zstdCompressSync ? ['none', 'gzip', 'zstd'] : ['none', 'gzip']
}

/** Compresses as Node.js does, for both clients. */
export function compressZstd(bytes: Uint8Array): Buffer {
  if (!zstdCompressSync) throw new ConfigurationError(['KAFKA_COMPRESSION=zstd needs Node.js 22.15 or newer'])
  return zstdCompressSync(bytes)
}

export function decompressZstd(bytes: Uint8Array): Buffer {
  if (!zstdDecompressSync) throw new ConfigurationError(['zstd needs Node.js 22.15 or newer'])
  return zstdDecompressSync(bytes)
}

/**
 * The codec of the fast client; undefined for `none`.
 *
 * @throws ConfigurationError when this Node.js has no zstd.
 */
export function compressionOf(codec: Codec, library: Platformatic): Compression | undefined {
  switch (codec) {
    case 'none':
      return undefined
    case 'gzip':
      return { codec, compress: (bytes) => zlib.gzipSync(bytes, { level: 1 }) }
    case 'zstd':
      if (!zstdCompressSync) throw new ConfigurationError(['KAFKA_COMPRESSION=zstd needs Node.js 22.15 or newer'])
      return { codec, compress: zstdCompressSync }
    default:
      return { codec, compress: (bytes) => library.compressionsAlgorithms[codec].compressSync(bytes) }
  }
}
