import { OPTION_ROWS } from '../config/options.ts'

const WIDTH = 100
const INDENT = '      '

/** The settings' part of `--help`: each with its flag, its variables, its default and one sentence. */
export function settingsHelp(): string {
  const lines: string[] = []
  let group = ''
  for (const row of OPTION_ROWS) {
    if (row.group !== group) lines.push('', `${row.group}:`)
    group = row.group
    const names = [...(row.flag === undefined ? [] : [`${row.flag} ${valueName(row)}`]), ...row.env]
    const note = row.required ? ' (required)' : row.default === undefined ? '' : ` (default: ${row.default})`
    lines.push(`  ${names.join(', ')}${note}`, ...wrapped(row.docs))
  }
  return `${lines.join('\n')}\n${SOURCES}`
}

/** How a flag's value is shown: `<list>`, `[true|false]`, `<first|always|never>`. */
export function valueName({ kind }: (typeof OPTION_ROWS)[number]): string {
  if (kind.type === 'boolean') return '[true|false]'
  return `<${kind.type === 'choice' ? kind.choices.join('|') : kind.type}>`
}

const SOURCES = `
Each setting is taken from its flag, else its variable (the environment, then .env in the working
directory), else the config file (--config <path>, or factlib-relay.config.mjs, .js or .json there),
else its default. An empty variable is not set.
`

function wrapped(text: string): string[] {
  const lines: string[] = []
  let line = INDENT
  for (const word of text.split(' ')) {
    if (line !== INDENT && line.length + 1 + word.length > WIDTH) {
      lines.push(line)
      line = INDENT
    }
    line += line === INDENT ? word : ` ${word}`
  }
  return [...lines, line]
}
