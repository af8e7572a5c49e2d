import { Command } from 'commander'
import { ConfigurationError } from '../../src/errors.ts'
import { packageVersion } from '../package-version.ts'
import { checkConfig } from './check-config.ts'
import { addOperatorCommands } from './commands.ts'
import { loadConfiguration } from './load-configuration.ts'
import { settingsHelp } from './settings-help.ts'
import { createTerminal } from './terminal.ts'
import { withSettings } from './with-settings.ts'

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
  withSettings(program.command('run', { isDefault: true }).option('--json', 'log JSON lines on a terminal, too'))
    .description('relay until a signal stops it; what happens without a command')
    .allowExcessArguments()
    .action(async (flags: Readonly<Record<string, unknown>>, command: Command) => {
      const [unknown] = command.args
      if (unknown !== undefined) {
        const names = program.commands.map((one) => one.name())
        throw new ConfigurationError([
          `unknown command ${JSON.stringify(unknown)}: the commands are ${names.slice(0, -1).join(', ')} and ${names.at(-1)}`,
        ])
      }
      const configuration = await loadConfiguration(flags)
      // Only now: with a wrong setting, not even the clients of PostgreSQL and Kafka are loaded.
      const { run } = await import('./run.ts')
      process.exit(await run(configuration, { live: createTerminal().isLive && flags['json'] !== true }))
    })
  addOperatorCommands(program)
  withSettings(program.command('check-config'))
    .description('check all settings and print them, secrets masked; connects to nothing')
    .action(async (flags: Readonly<Record<string, unknown>>) => checkConfig(await loadConfiguration(flags)))
  return program
}
