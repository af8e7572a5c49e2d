import { styleText } from 'node:util'
import type { Delivery, Verdict } from './tally.ts'
import { percentile } from './tally.ts'

type Style = Parameters<typeof styleText>[0]

const COLOUR = process.stdout.isTTY === true && !process.env['NO_COLOR']

export function styled(style: Style, text: string): string {
  return COLOUR ? styleText(style, text) : text
}

/** A step of the demo. */
export function say(text: string): void {
  console.log(styled('bold', text))
}

/** What somebody else says: the relay. */
export function aside(text: string): void {
  console.log(styled('gray', `  ${text}`))
}

const WIDTHS = [24, 9, 14, 20, 32, 10] as const

export function recordHeading(): string {
  return row(['topic', 'partition', 'key', 'event type', 'trace id', 'latency'])
}

export function recordLine({
  topic,
  partition,
  aggregateId,
  eventType,
  traceId,
  latencyMs,
  duplicate,
}: Delivery): string {
  const line = row([topic, String(partition), aggregateId, eventType, traceId || '-', milliseconds(latencyMs)])
  return duplicate ? styled('yellow', `${line}  again`) : line
}

/** One column an ORM, and their sum. */
export interface Column {
  readonly title: string
  readonly emitted: number
  readonly committed: number
  readonly verdict: Verdict
  /** Of first deliveries, in milliseconds. */
  readonly latenciesMs: readonly number[]
}

export function table(columns: readonly Column[]): string {
  const lines: [string, (column: Column) => string][] = [
    ['', ({ title }) => title],
    ['emitted', ({ emitted }) => String(emitted)],
    ['committed', ({ committed }) => String(committed)],
    ['rolled back', ({ emitted, committed }) => String(emitted - committed)],
    ['delivered', ({ verdict }) => String(verdict.delivered)],
    ['duplicates', ({ verdict }) => String(verdict.duplicates)],
    ['lost', ({ verdict }) => String(verdict.lost.length)],
    ['phantom', ({ verdict }) => String(verdict.phantom.length)],
    ['p50 latency', ({ latenciesMs }) => milliseconds(percentile(latenciesMs, 0.5))],
    ['p99 latency', ({ latenciesMs }) => milliseconds(percentile(latenciesMs, 0.99))],
  ]
  return lines
    .map(([name, cell]) => `  ${name.padEnd(12)}${columns.map((column) => cell(column).padStart(11)).join('')}`)
    .join('\n')
}

function row(cells: readonly string[]): string {
  return `  ${cells.map((cell, index) => cell.padEnd(WIDTHS[index] ?? 0)).join(' ')}`.trimEnd()
}

function milliseconds(value: number | undefined): string {
  return value === undefined ? '-' : `${value.toFixed(value < 10 ? 1 : 0)} ms`
}
