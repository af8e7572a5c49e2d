import { type Command, Option } from 'commander'
import { OPTION_ROWS } from '../config/options.ts'
import { settingsHelp, valueName } from './settings-help.ts'

/** Gives a command a flag for each row of the option table; grouped and wrapped by us in its help. */
export function withSettings(command: Command): Command {
  // Hidden options would not be suggested for a misspelt one.
  command.configureHelp({
    formatHelp: () =>
      `Usage: factlib-relay ${command.name()} [settings]\n\n${command.description()}\n${ownOptions(command)}${settingsHelp()}`,
  })
  return addSettings(command)
}

/** Of the command itself, so before the settings. */
function ownOptions(command: Command): string {
  const settings = new Set(OPTION_ROWS.map(({ flag }) => flag))
  const own = command.options.filter(({ long }) => long !== '--config' && !settings.has(long ?? ''))
  return own.map(({ flags, description }) => `\n  ${flags}  ${description}\n`).join('')
}

export interface CommandWords {
  /** After the command's name: `list [options]`. */
  readonly usage: string
  /** Options of its own: flag and sentence. */
  readonly options: readonly (readonly [flags: string, text: string])[]
  /** Lines of commands, each with what it does in a `#` comment. */
  readonly examples: readonly string[]
  /** What one should know; a paragraph each. */
  readonly notes?: readonly string[]
}

/** A command with options of its own; it takes the settings too, which only `run --help` lists. */
export function withOwnOptions(command: Command, path: string, words: CommandWords): Command {
  for (const [flags, text] of words.options) command.addOption(new Option(flags, text))
  const width = Math.max(...words.options.map(([flags]) => flags.length))
  command.configureHelp({
    formatHelp: () =>
      [
        `Usage: factlib-relay ${path} ${words.usage}`,
        '',
        command.description(),
        '',
        ...words.options.map(([flags, text]) => `  ${flags.padEnd(width)}  ${text}`),
        '',
        ...(words.notes ?? []).flatMap((note) => [note, '']),
        'Examples:',
        ...words.examples.map((line) => `  ${line}`),
        '',
        'It takes the settings of the relay, from the same places: see factlib-relay run --help.',
        '',
      ].join('\n'),
  })
  return addSettings(command)
}

function addSettings(command: Command): Command {
  command.addOption(new Option('--config <path>', 'config file: a module with a default export, or JSON'))
  for (const row of OPTION_ROWS) {
    if (row.flag === undefined) continue
    const option = new Option(`${row.flag} ${valueName(row)}`)
    if (row.kind.type === 'boolean') option.preset('true')
    // Repeated, a list grows; commander would keep the last one only.
    if (row.kind.type === 'list') {
      option.argParser((text, before: unknown) => (typeof before === 'string' ? `${before},${text}` : text))
    }
    command.addOption(option)
  }
  return command
}
