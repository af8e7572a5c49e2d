/**
 * murmur2 as Kafka's Java client computes it (org.apache.kafka.common.utils.Utils#murmur2, seed 0x9747b28c), so that a
 * key lands in the partition where OwlPost, Java and Go put it.
 */
export function murmur2(data: Uint8Array, from = 0, to: number = data.length): number {
  const length = to - from
  const m = 0x5bd1e995
  let h = 0x9747b28c ^ length
  const end = from + (length & ~3)
  for (let i = from; i < end; i += 4) {
    let k =
      (data[i] as number) |
      ((data[i + 1] as number) << 8) |
      ((data[i + 2] as number) << 16) |
      ((data[i + 3] as number) << 24)
    k = Math.imul(k, m)
    k ^= k >>> 24
    k = Math.imul(k, m)
    h = Math.imul(h, m) ^ k
  }
  const rest = length & 3
  if (rest === 3) h ^= (data[end + 2] as number) << 16
  if (rest >= 2) h ^= (data[end + 1] as number) << 8
  if (rest >= 1) {
    h ^= data[end] as number
    h = Math.imul(h, m)
  }
  h ^= h >>> 13
  h = Math.imul(h, m)
  h ^= h >>> 15
  return h >>> 0
}

/** What a key's partition follows from: `keyHash % partitions`. */
export function keyHash(data: Uint8Array, from?: number, to?: number): number {
  return murmur2(data, from, to) & 0x7fffffff
}

/**
 * The partition of a key: `(murmur2(key) & 0x7fffffff) % partitions`.
 *
 * @example partitionFor(Buffer.from('u-1'), 3) // 1
 */
export function partitionFor(key: Uint8Array, partitions: number): number {
  return keyHash(key) % partitions
}
