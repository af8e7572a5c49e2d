// Numbers and moments for reading: pure.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** @example formatBytes(1_536) // '1.5 KiB' */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes)
  let unit = 0
  while (value >= 1_024 && unit < UNITS.length - 1) {
    value /= 1_024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`
}

/** @example formatSeconds(7_260) // '2 h 1 min' */
export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 120) return `${Math.round(seconds)} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 120) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours} h ${minutes % 60} min`
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/** @example formatAgo(0, 65_000) // '65 s ago' */
export function formatAgo(atMs: number, nowMs: number): string {
  const seconds = Math.max(0, (nowMs - atMs) / 1_000)
  return seconds < 2 ? 'now' : `${formatSeconds(Math.round(seconds)).replace('.0', '')} ago`
}

/** A rate, with a digit behind the point while it is small. */
export function formatRate(perSecond: number): string {
  if (perSecond === 0) return '0'
  return perSecond < 10 ? perSecond.toFixed(1) : formatCount(Math.round(perSecond))
}

/** @example formatCount(12_345) // '12,345' */
export function formatCount(count: number): string {
  return count.toLocaleString('en')
}

/** @example formatTime(0) // '00:00:00', in the reader's own zone */
export function formatTime(atMs: number): string {
  return new Date(atMs).toLocaleTimeString('en-GB')
}

/** @example formatLatency(12) // '12 ms' */
export function formatLatency(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : formatSeconds(ms / 1_000)
}
