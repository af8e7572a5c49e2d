import { appendFileSync } from 'node:fs'
import { chaosClient, chaosPostgresVersion } from './chaos.ts'
import type { CheckResult } from './checker.ts'

/** A row of docs/reliability.md. */
export interface ReliabilityRow extends CheckResult {
  readonly scenario: string
  readonly postgres: number
  readonly client: string
  readonly brokers: number
  readonly faults: number
}

/** A line for whoever collects them: `npm run chaos -- --all`. */
export function report(row: Omit<ReliabilityRow, 'postgres' | 'client'>): void {
  const file = process.env['FACTLIB_CHAOS_RESULTS']
  const whole: ReliabilityRow = { ...row, postgres: chaosPostgresVersion(), client: chaosClient() }
  if (file) appendFileSync(file, `${JSON.stringify(whole)}\n`)
}
