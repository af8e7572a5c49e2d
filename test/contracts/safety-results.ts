import { readFile, writeFile } from 'node:fs/promises'
import { afterAll, expect } from 'vitest'

/**
 * What the rows of a contract came to, kept in test/contracts/safety-results/, one file a column. A run compares its own
 * outcomes with the file; a whole run with FACTLIB_UPDATE_SAFETY=1 it writes them, and scripts/docs-safety.ts makes the page of them.
 */

/**
 * `proved`: row and fact live and die together. `refused`: an error, and nothing is written. `unseen`: it goes wrong or
 * makes no fact, in silence; a test shows it. `absent`: the ORM has no such thing.
 */
export type SafetyOutcome = 'proved' | 'refused' | 'unseen' | 'absent'

/** A column of docs/transaction-safety.md. */
export interface SafetyColumn {
  /** `transactions`: explicit emission, the rows of safety-rows.ts. `models`: the writes of models with mappers. */
  readonly table: 'transactions' | 'models'
  readonly orm: 'Prisma' | 'Drizzle' | 'Sequelize' | 'pg' | 'Kysely'
  readonly version: string
  /** What else tells it from the other columns: the driver, the function, the kind of nested transaction. */
  readonly way?: string
  /** Rows that are known not to hold, with the reason; the page says it. */
  readonly unseen?: Readonly<Record<string, string>>
}

export interface SafetyResult extends SafetyColumn {
  readonly rows: Readonly<Record<string, SafetyOutcome>>
}

/**
 * Records the outcomes of one column; call it inside `describe`, and what it returns in each test.
 *
 * @example
 * const record = recordSafety({ table: 'models', orm: 'Prisma', version: '7.10' })
 * it('updateMany', async () => { …; record('updateMany', 'proved') })
 */
export function recordSafety(column: SafetyColumn): (row: string, outcome: SafetyOutcome) => void {
  const rows: Record<string, SafetyOutcome> = {}
  afterAll(async () => {
    const name = [column.table, column.orm, column.version, column.way ?? ''].join(' ').toLowerCase()
    const slug = name.replace(/[^a-z0-9.]+/g, '-').replace(/^-|-$/g, '')
    const file = new URL(`safety-results/${slug}.json`, import.meta.url)
    const text = `${JSON.stringify({ ...column, rows }, undefined, 2)}\n`
    if (process.env['FACTLIB_UPDATE_SAFETY'] === '1') {
      await writeFile(file, text)
      return
    }
    const kept = await readFile(file, 'utf8').catch(() => '{}')
    const before = (JSON.parse(kept) as Partial<SafetyResult>).rows ?? {}
    // Only what was run: whether a column is complete is the page's own test.
    const hint = `${slug} has changed: run the file with FACTLIB_UPDATE_SAFETY=1, then npx tsx scripts/docs-safety.ts`
    for (const [row, outcome] of Object.entries(rows)) expect(before[row], `${row}; ${hint}`).toBe(outcome)
  })
  return (row, outcome) => {
    rows[row] = outcome
  }
}
