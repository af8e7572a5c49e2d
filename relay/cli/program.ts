import { Command, Option } from 'commander'
import { ConfigurationError } from '../../src/errors.ts'
import { OPTION_ROWS } from '../config/options.ts'
import { checkConfig } from './check-config.ts'
import { loadConfiguration } from './load-configuration.ts'
import { settingsHelp, valueName } from './settings-help.ts'
import { packageVersion } from './version.ts'

/**
 * The command line, with a flag for each row of the option table. `run` is what happens when no command is named.
 * Parsing throws a `CommanderError` where commander would exit.
 *
 * @example
 * ```ts
 * await createProgram().parseAsync(['node', 'factlib-relay', 'check-config', '--prefix', 'shop'])
 * ```
 */
export function createProgram(): Command {
  const program = new Command('factlib-relay')
    .description("Streams facts from PostgreSQL's WAL into Kafka: nothing lost, nothing invented, order kept.")
    .version(packageVersion())
    .exitOverride()
    .showHelpAfterError('(factlib-relay --help lists every setting)')
    .addHelpText('after', settingsHelp)
  withSettings(program.command('run', { isDefault: true }))
    .description('relay until a signal stops it; what happens without a command')
    .allowExcessArguments()
    .action(async (flags: Readonly<Record<string, unknown>>, command: Command) => {
      const [unknown] = command.args
      if (unknown !== undefined) {
        throw new ConfigurationError([
          `unknown command ${JSON.stringify(unknown)}: the commands are run and check-config`,
        ])
      }
      const configuration = await loadConfiguration(flags)
      // Only now: with a wrong setting, not even the clients of PostgreSQL and Kafka are loaded.
      const { run } = await import('./run.ts')
      process.exit(await run(configuration))
    })
  withSettings(program.command('check-config'))
    .description('check all settings and print them, secrets masked; connects to nothing')
    .action(async (flags: Readonly<Record<string, unknown>>) => checkConfig(await loadConfiguration(flags)))
  return program
}

function withSettings(command: Command): Command {
  // The settings are grouped and wrapped by us; hidden options would not be suggested for a misspelt one.
  command.configureHelp({
    formatHelp: () =>
      `Usage: factlib-relay ${command.name()} [settings]\n\n${command.description()}\n${settingsHelp()}`,
  })
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
