import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { emptyCells, readSafetyResults, renderSafetyDoc } from './safety-doc.ts'

describe('docs/transaction-safety.md', () => {
  const results = readSafetyResults()

  it('is current (npx tsx scripts/docs-safety.ts)', () => {
    const page = readFileSync(new URL('../../docs/transaction-safety.md', import.meta.url), 'utf8')
    expect(page).toBe(renderSafetyDoc(results))
  })

  it('has no empty cell', () => {
    expect(results.length).toBeGreaterThan(0)
    expect(emptyCells(results)).toEqual([])
  })

  it.each(['Prisma', 'Drizzle', 'Sequelize', 'pg'] as const)('has the versions of %s that the README names', (orm) => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
    const named = new RegExp(`^\\| ${orm} \\|.*\\| ([^|]*) \\|$`, 'm').exec(readme)?.[1]?.split(', ')
    const proved = results.filter((result) => result.orm === orm).map(({ version }) => version)
    expect(named).toEqual([...new Set(proved)])
  })

  it('would show an empty cell', () => {
    const [first, ...others] = results
    const rows = Object.fromEntries(Object.entries(first!.rows).slice(1))
    expect(emptyCells([{ ...first!, rows }, ...others])).toHaveLength(1)
  })
})
