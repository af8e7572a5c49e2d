import { readdirSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { createProgram } from '../../../relay/cli/program.ts'
import { EXIT } from '../../../relay/policy.ts'
import { PROVIDERS } from '../../../relay/setup/providers.ts'

const text = readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8')

/** Codes of findings as the checks' sources have them. */
function codesInSources(): Set<string> {
  const folder = new URL('../../../relay/doctor/', import.meta.url)
  const sources = readdirSync(folder)
    .filter((name) => name.startsWith('check-'))
    .map((name) => readFileSync(new URL(name, folder), 'utf8'))
    .join('\n')
  const told = sources.matchAll(/(?:code: |(?:problem|warning|unfit|finding)\)?\(\s*)'([A-Z_]+)'|^ {2}([A-Z_]+): \[/gm)
  return new Set([...told].map(([, code, key]) => (code ?? key) as string))
}

it('lists every finding of the doctor that is more than "in order"', () => {
  const inDoc = new Set([...text.matchAll(/^\| `([A-Z_]+)` \| /gm)].map(([, code]) => code as string))
  const inOrder = [
    'SERVER_VERSION',
    'PUBLICATION',
    'SLOT_ACTIVE',
    'SLOT_INACTIVE',
    'WAL_BUDGET',
    'MEMORY',
    'KAFKA_SESSION',
    'TOPIC',
    'CLOCK',
  ]
  const told = codesInSources()
  expect(told.size).toBeGreaterThan(60)
  expect([...inDoc].sort()).toEqual([...told].filter((code) => !inOrder.includes(code)).sort())
})

it('names every command, provider and exit code', () => {
  const program = createProgram()
  for (const command of program.commands) {
    expect(text).toContain(`\`${command.name()}`)
    for (const inner of command.commands)
      expect(text).toMatch(new RegExp(`\`${inner.name()}\`|${command.name()} ${inner.name()}`))
  }
  for (const provider of PROVIDERS) expect(text).toContain(`| \`${provider}\` |`)
  for (const code of Object.values(EXIT)) expect(text).toMatch(new RegExp(`^\\| ${code} \\|`, 'm'))
})

it('every command teaches with an example of its own', () => {
  const commands = createProgram().commands.flatMap((command) => [command, ...command.commands])
  for (const command of commands.filter((one) => !['run', 'check-config', 'dead-letters'].includes(one.name())))
    expect(command.helpInformation()).toMatch(/Examples:\n {2}factlib-relay \w/)
})
