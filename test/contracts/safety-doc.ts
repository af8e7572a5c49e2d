import { readdirSync, readFileSync } from 'node:fs'
import { MODEL_ROWS } from './model-rows.ts'
import type { SafetyOutcome, SafetyResult } from './safety-results.ts'

/** docs/transaction-safety.md, made of test/contracts/safety-results/. */

const TABLES = [
  {
    table: 'transactions',
    heading: 'Facts that you emit',
    text: '`emitFact` and `$emitFact`: a fact against a row of the same transaction.',
  },
  {
    table: 'models',
    heading: 'Facts that models emit',
    text: '`models`: each write of a model with mappers, and what becomes of its facts.',
  },
] as const

/** In a fixed order, so that the page does not change by itself. */
const ORMS: readonly SafetyResult['orm'][] = ['Prisma', 'Drizzle', 'Sequelize', 'pg', 'Kysely']

export function readSafetyResults(): SafetyResult[] {
  const folder = new URL('safety-results/', import.meta.url)
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as SafetyResult)
}

/** The rows that every column of this table must have. */
export function expectedRows(table: SafetyResult['table'], results: readonly SafetyResult[]): readonly string[] {
  if (table === 'models') return MODEL_ROWS
  return [...new Set(results.filter((result) => result.table === table).flatMap(({ rows }) => Object.keys(rows)))]
}

/** `column: row` of each cell without an outcome. */
export function emptyCells(results: readonly SafetyResult[]): string[] {
  return results.flatMap((result) =>
    expectedRows(result.table, results)
      .filter((row) => result.rows[row] === undefined)
      .map((row) => `${result.table}, ${titleOf(result)}: ${row}`),
  )
}

export function renderSafetyDoc(results: readonly SafetyResult[]): string {
  const lines = [
    '<!-- Generated from test/contracts/safety-results: run the tests with FACTLIB_UPDATE_SAFETY=1, then: npx tsx scripts/docs-safety.ts -->',
    '',
    '# Transaction safety',
    '',
    'What happens to a fact when its transaction does what transactions do. Every cell is a test on a real PostgreSQL: a',
    'fact counts as emitted only when the replication slot hands it out, and as safe only when its transaction id is the',
    'one that its row keeps.',
    '',
    '- **proved**: row and fact live and die together.',
    '- **refused**: an error says what to write instead, and nothing is left behind.',
    '- **unseen**: no fact is made, and nothing can tell; a test shows it. Emit the fact yourself beside such a write.',
    '- **absent**: this ORM has no such thing.',
    '',
  ]
  for (const { table, heading, text } of TABLES) {
    lines.push(`## ${heading}`, '', text, '')
    for (const orm of ORMS) {
      const columns = results.filter((result) => result.table === table && result.orm === orm)
      if (columns.length === 0) continue
      lines.push(`### ${orm}`, '', ...tableOf(expectedRows(table, results), columns), '')
      for (const column of columns) {
        for (const [row, reason] of Object.entries(column.unseen ?? {})) {
          lines.push(`- ${titleOf(column)}: ${row}: ${reason}`)
        }
      }
      if (columns.some(({ unseen }) => Object.keys(unseen ?? {}).length > 0)) lines.push('')
    }
  }
  return `${lines.join('\n').trimEnd()}\n`
}

function tableOf(rows: readonly string[], columns: readonly SafetyResult[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    line(['', ...columns.map(({ version, way }) => (way === undefined ? version : `${version}, ${code(way)}`))]),
    line(['---', ...columns.map(() => '---')]),
    ...rows.map((row) => line([row, ...columns.map((column) => mark(column.rows[row]))])),
  ]
}

function titleOf({ orm, version, way }: SafetyResult): string {
  return [orm, version, way].filter((part) => part !== undefined).join(' ')
}

function code(way: string): string {
  return way.replace(/^[\w.$]*mit[\w.$()]*/, (call) => `\`${call}\``)
}

function mark(outcome: SafetyOutcome | undefined): string {
  return outcome === undefined ? '' : outcome === 'proved' || outcome === 'absent' ? outcome : `**${outcome}**`
}
