import { createHash, randomFillSync } from 'node:crypto'

/**
 * Ids of facts: made when a fact is built (UUIDv7), or derived by the relay for a fact that came without one.
 */

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
/** Clock steps back up to this stay in order; after a larger one, ids follow the clock again. */
const STEP_BACK_MS = 10_000

let lastMs = 0
/** 12 bits: how many ids this millisecond had, from a random start below half. */
let counter = 0

const pool = Buffer.alloc(4096)
let poolUsed = pool.length

/** 10 random bytes of a pool: a system call for each id would cost more than all the rest. */
function pooledRandom(): Uint8Array {
  if (poolUsed + 10 > pool.length) {
    randomFillSync(pool)
    poolUsed = 0
  }
  poolUsed += 10
  return pool.subarray(poolUsed - 10, poolUsed)
}

/**
 * A new UUIDv7 (RFC 9562) in lower-case text. Ids made in one process ascend, also within a millisecond.
 *
 * `nowMs`: milliseconds since 1970. `random`: gives at least 10 random bytes.
 */
export function createFactId(nowMs: number = Date.now(), random: () => Uint8Array = pooledRandom): string {
  const bytes = random()
  if (nowMs > lastMs || nowMs < lastMs - STEP_BACK_MS) {
    lastMs = nowMs
    counter = ((bytes[0]! << 8) | bytes[1]!) & 0x7ff
  } else if (counter < 0xfff) {
    counter += 1
  } else {
    // 2,048 ids or more in a millisecond: go on in the next one, the clock catches up.
    lastMs += 1
    counter = ((bytes[0]! << 8) | bytes[1]!) & 0x7ff
  }
  // 48 bits are too many for the operators on bits.
  const high = Math.floor(lastMs / 0x1_0000)
  const low = lastMs % 0x1_0000
  const time = HEX[(high >>> 24) & 0xff]! + HEX[(high >>> 16) & 0xff] + HEX[(high >>> 8) & 0xff] + HEX[high & 0xff]
  const rest = HEX[low >>> 8]! + HEX[low & 0xff]
  const version = `7${HEX[counter >> 8]![1]}${HEX[counter & 0xff]}`
  const variant = `${HEX[(bytes[2]! & 0x3f) | 0x80]}${HEX[bytes[3]!]}`
  const tail = HEX[bytes[4]!]! + HEX[bytes[5]!] + HEX[bytes[6]!] + HEX[bytes[7]!] + HEX[bytes[8]!] + HEX[bytes[9]!]
  return `${time}-${rest}-${version}-${variant}-${tail}`
}

/** The two digits of each byte. */
const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Whether `value` is a UUID in lower-case text, of any version. */
export function isFactId(value: unknown): value is string {
  return typeof value === 'string' && UUID.test(value)
}

/** Where a message without an id stands: together this names it, at each delivery the same. */
export interface MessagePosition {
  /** The cluster's, by IDENTIFY_SYSTEM; unsigned 64 bits. */
  readonly systemId: bigint
  /** The message's own; unsigned 64 bits. */
  readonly messageLsn: bigint
  readonly prefix: string
  /** The emitted bytes: LSNs can be used again after a failover that lost the WAL's tail. */
  readonly content: Uint8Array
}

const NAMESPACE = Buffer.from('a1f0c2de5b3e4c579b0a7d1e6f2c8b44', 'hex')

/** The id of a fact that was emitted without one (Django's): SHA-1 over its position, in the layout of a UUIDv5. */
export function deriveFactId(position: MessagePosition): string {
  const numbers = Buffer.allocUnsafe(16)
  numbers.writeBigUInt64BE(position.systemId, 0)
  numbers.writeBigUInt64BE(position.messageLsn, 8)
  const hash = createHash('sha1')
    .update(NAMESPACE)
    .update(numbers)
    .update(position.prefix, 'utf8')
    .update('\0')
    .update(position.content)
    .digest()
  hash[6] = (hash[6]! & 0x0f) | 0x50
  hash[8] = (hash[8]! & 0x3f) | 0x80
  const hex = hash.toString('hex', 0, 16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
