/**
 * Microseconds since 1970, and how to read a created-at whose unit is not known.
 *
 * JavaScript's clock has milliseconds. The digits below come from the monotonic clock, but the millisecond always is the
 * one that `Date.now()` shows: the system clock may be stepped or slewed, and a created-at must follow it.
 */

/** Offset of the monotonic clock from the system clock, in ms; corrected whenever the two disagree by a millisecond. */
let offsetMs = 0

/** Now, in microseconds since 1970; within the millisecond that `Date.now()` shows. The clocks are in milliseconds. */
export function microsNow(nowMs: number = Date.now(), monotonicMs: number = performance.now()): bigint {
  let sinceMs = offsetMs + monotonicMs - nowMs
  if (!(sinceMs >= 0 && sinceMs < 1)) {
    // Outside the millisecond: go to its nearer edge. Repeated, this finds where the milliseconds really begin.
    sinceMs = sinceMs >= 1 ? 0.999 : 0
    offsetMs = nowMs + sinceMs - monotonicMs
  }
  // A number holds the microseconds until the year 2255.
  return BigInt(nowMs * 1000 + Math.floor(sinceMs * 1000))
}

/** The range in which a created-at is read as microseconds by everyone: 1973-03-03 to 5138-11-16. */
export const MIN_MICROS = 100_000_000_000_000n
export const MAX_MICROS = 99_999_999_999_999_999n

/**
 * A created-at of unknown unit (seconds, milliseconds, microseconds or nanoseconds, told by its magnitude) in microseconds.
 * Producers differ: Django and Node write microseconds, the Go producer nanoseconds, OwlPost seconds where it was missing.
 */
export function microsFromAnyUnit(createdAt: bigint): bigint {
  const magnitude = createdAt < 0n ? -createdAt : createdAt
  if (magnitude > MAX_MICROS) return createdAt / 1000n
  if (magnitude >= MIN_MICROS) return createdAt
  if (magnitude >= 100_000_000_000n) return createdAt * 1000n
  return createdAt * 1_000_000n
}

/** A date of this time, without its microseconds. An `Invalid Date` when no `Date` can hold it. */
export function dateFromMicros(micros: bigint): Date {
  return new Date(Number(BigInt.asIntN(64, micros) / 1000n))
}
