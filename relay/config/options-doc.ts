import { OPTION_ROWS } from './options.ts'

/** The text of docs/options.md, from the option table. */
export function renderOptionsDoc(): string {
  const lines = [
    '<!-- Generated from relay/config/options.ts: change it there, then run: npx tsx scripts/docs-relay.ts -->',
    '',
    "# The relay's settings",
    '',
    'Each setting can be given in four places. The first that has it wins:',
    '',
    '1. a **flag** of `factlib-relay`;',
    '2. a **variable** of the environment, or of a `.env` file in the working directory (the environment wins over the file; where a',
    '   setting has several variables, the first that is set wins; an empty variable is not set);',
    '3. a **key** of the config file: `--config <path>`, or `factlib-relay.config.mjs`, `.js` or `.json` in the working directory. A module',
    '   exports its options as the default. `createRelay(options)` takes the same keys, and the variables of the environment below them;',
    '4. its default.',
    '',
    'A wrong setting ends the process with exit code 2 and a list of every problem, before a port is opened or a server is connected to.',
    '`factlib-relay check-config` does only this check, and prints the settings with secrets masked.',
    '',
    'Routes have no variable and no flag; in the config file and in `createRelay` they are',
    "`routes: [{ prefix?, aggregateType?, eventType?, topic: 'user-events' }]`, or with a `handle` function in place of the topic. The first",
    'that matches wins; a fact that none matches goes to `<prefix>.<aggregate type>`.',
  ]
  for (const group of new Set(OPTION_ROWS.map((row) => row.group))) {
    lines.push('', `## ${group}`)
    for (const row of OPTION_ROWS.filter((one) => one.group === group)) {
      const type =
        row.kind.type === 'choice' ? row.kind.choices.map((one) => `\`${one}\``).join(', ') : TYPES[row.kind.type]
      const range = row.kind.type === 'integer' ? `, ${row.kind.min} to ${row.kind.max}` : ''
      lines.push(
        '',
        `### \`${row.env[0]}\``,
        '',
        row.docs,
        '',
        `*When to change it:* ${row.whenToChange}`,
        '',
        '| variable | flag | key | type | default |',
        '|---|---|---|---|---|',
        `| ${row.env.map((name) => `\`${name}\``).join(', ')} | ${row.flag === undefined ? '–' : `\`${row.flag}\``} | \`${row.key}\`${
          row.scope === 'process' ? ' (config file only)' : ''
        } | ${type}${range} | ${row.default === undefined ? (row.required ? '**required**' : '–') : `\`${row.default}\``} |`,
      )
    }
  }
  return `${lines.join('\n')}\n`
}

const TYPES = {
  text: 'text',
  list: 'list (commas, or an array)',
  integer: 'whole number',
  boolean: '`true` or `false`',
}
