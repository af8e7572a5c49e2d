import type { RelayHealth } from '../types.ts'
import { formatBytes, formatSeconds, printable } from './terminal.ts'

// What `run` shows on a terminal, as text: pure.

/** What is known now. */
export interface LiveSample {
  readonly phase: string
  readonly health: RelayHealth
  readonly factsPerSecond: number
  /** WAL that is not confirmed, bytes; undefined: not known yet. */
  readonly lagBytes: number | undefined
  /** Age of what waits longest, as the relay knows it; undefined: there is no stream. */
  readonly lagSeconds: number | undefined
}

/** @example liveLine(sample, 80) // 'streaming  1204 facts/s  lag 3.1 MiB, 0.4 s  Kafka ok' */
export function liveLine({ phase, health, factsPerSecond, lagBytes, lagSeconds }: LiveSample, width: number): string {
  const lag =
    lagBytes === undefined
      ? 'lag ?'
      : `lag ${formatBytes(lagBytes)}${lagSeconds === undefined ? '' : `, ${formatSeconds(lagSeconds)}`}`
  const state = health.ok ? 'Kafka ok' : `NOT READY: ${health.reason}`
  const line = printable(`${phase}  ${factsPerSecond} facts/s  ${lag}  ${state}`, 1_000)
  return cut(line, width)
}

/** How far a backlog is worked off. Bytes of WAL. */
export interface Backlog {
  readonly totalBytes: number
  readonly doneBytes: number
  /** Seconds since it was begun. */
  readonly seconds: number
}

const BAR_MAX = 40

/** @example backlogLine({ totalBytes: 100, doneBytes: 25, seconds: 10 }, 80) // 'backlog [#####…     ] 25 %  25 B of 100 B  30 s left' */
export function backlogLine({ totalBytes, doneBytes, seconds }: Backlog, width: number): string {
  const share = totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes)
  const left = doneBytes <= 0 ? 'time left not known yet' : `${formatSeconds(((1 - share) / share) * seconds)} left`
  const words = `${Math.floor(share * 100)} %  ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}  ${left}`
  const room = Math.max(5, Math.min(BAR_MAX, width - words.length - 12))
  const filled = Math.round(share * room)
  return cut(`backlog [${'#'.repeat(filled)}${'-'.repeat(room - filled)}] ${words}`, width)
}

/** One line of the JSON log, for a person: time, level, message, fields. */
export function humanLog(json: string): string {
  try {
    const { time, level, msg, name: _, ...fields } = JSON.parse(json) as Record<string, unknown>
    const rest = Object.entries(fields).map(
      ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
    )
    const clock = String(time).slice(11, 19)
    return printable([clock, String(level).padEnd(5), String(msg), ...rest].join(' '), 2_000)
  } catch {
    return json.trimEnd()
  }
}

/** A line that wraps cannot be drawn over. */
function cut(line: string, width: number): string {
  return line.length > width ? `${line.slice(0, Math.max(1, width - 1))}…` : line
}
