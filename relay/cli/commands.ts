/**
 * The operator's commands beside `run`: their words, options and examples. What they do is in a file each, loaded only
 * when it is asked for.
 */
import type { Command } from 'commander'
import type { RelayConfiguration } from '../config/settings.ts'
import { CliError, COMMAND_EXIT } from './cli-error.ts'
import { environment, loadConfiguration } from './load-configuration.ts'
import { createTerminal, type Terminal } from './terminal.ts'
import { type CommandWords, withOwnOptions } from './with-settings.ts'

type Flags = Readonly<Record<string, unknown>>

const JSON_OPTION = ['--json', 'one JSON object instead of text; its keys stay'] as const
const YES_OPTION = ['--yes', 'do not ask'] as const
/** A prefix says which facts are ours, which these commands do not look at. */
const NO_PREFIX = { prefix: '*' }

export function addOperatorCommands(program: Command): void {
  addSetup(program)
  addTeardown(program)
  addDoctor(program)
}

function addSetup(program: Command): void {
  const command = program
    .command('setup')
    .description('make publication, slot, memory, role and rights, as far as they are missing; say what was done')
  define(command, 'setup', {
    usage: '[options]',
    options: [
      ['--dry-run', 'print the SQL that is missing (all of it when no database is known), and run nothing'],
      ['--provider <name>', 'what that place needs: rds, aurora, cloudsql, azure, supabase, neon, heroku, self'],
      ['--admin-url <url>', 'run it as this user, who may give rights to the role of --database-url'],
      JSON_OPTION,
    ],
    notes: [
      'Run it before the first service emits: a fact that is emitted before the slot exists is lost.',
      'The administrator’s URL is better given in the variable ADMIN_DATABASE_URL: a list of processes shows flags.',
    ],
    examples: [
      'factlib-relay setup --provider rds --dry-run   # what to do on Amazon RDS, and the SQL',
      'factlib-relay setup                            # with MASTER_DATABASE_URL set: do it; again: nothing to do',
    ],
    async action(flags) {
      const env = environment(process.cwd(), process.env)
      const given = flags['databaseUrl'] ?? env['MASTER_DATABASE_URL'] ?? env['DATABASE_URL']
      const dryRun = flags['dryRun'] === true
      const { settings } = await loadConfiguration(flags, process, {
        ...NO_PREFIX,
        ...(dryRun ? { databaseUrl: 'postgres://factlib_relay@localhost/DATABASE' } : {}),
      })
      const adminUrl = text(flags, 'adminUrl') ?? (env['ADMIN_DATABASE_URL'] || undefined)
      const { setup } = await import('./setup.ts')
      return setup(
        settings,
        {
          ...booleans(flags, ['dryRun', 'json']),
          ...texts(flags, ['provider']),
          ...(adminUrl === undefined ? {} : { adminUrl }),
          withoutDatabase: dryRun && !given && settings.database.database === 'DATABASE',
        },
        createTerminal(),
      )
    },
  })
}

function addTeardown(program: Command): void {
  const command = program
    .command('teardown')
    .description('drop the slot and what is remembered of it, after a question; refuses while a relay holds the slot')
  define(command, 'teardown', {
    usage: '[options]',
    options: [['--publication', 'drop the publication too, unless it has tables'], YES_OPTION, JSON_OPTION],
    notes: [
      'Facts that the slot still holds never reach Kafka then. A slot that nobody reads fills the disk: drop it.',
    ],
    examples: [
      'factlib-relay teardown                     # asks',
      'factlib-relay teardown --publication --yes # everything, unasked',
    ],
    async action(flags) {
      const { settings } = await loadConfiguration(flags, process, NO_PREFIX)
      const { teardown } = await import('./teardown.ts')
      return teardown(settings, booleans(flags, ['yes', 'json', 'publication']), createTerminal())
    },
  })
}

function addDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .description('connect to both sides and say what is wrong, or will be; each with the command that mends it')
  define(command, 'doctor', {
    usage: '[options]',
    options: [
      ['--topics <list>', 'look at these topics, too: those that your facts go to'],
      ['--peek <count>', 'look into so many changes that wait in the slot, 0: none (default: 1000)'],
      ['--quiet', 'leave out what is in order'],
      JSON_OPTION,
    ],
    notes: [
      'It changes nothing and writes into no topic. While it looks into the slot, which it does only when nobody reads it, a relay that starts stands by for a moment.',
      'Exit codes: 0 the relay can work, 1 it can, with warnings, 2 it cannot.',
    ],
    examples: [
      'factlib-relay doctor --topics shop.order,shop.user',
      'factlib-relay doctor --json | jq -r \'.findings[] | select(.level == "problem") | .remedy\'',
    ],
    async action(flags) {
      const peekMessages = count(flags, 'peek')
      const configuration = await loadConfiguration(flags)
      const { doctor } = await import('./doctor.ts')
      return doctor(
        configuration,
        {
          ...booleans(flags, ['json', 'quiet']),
          topics: list(flags, 'topics'),
          ...(peekMessages === undefined ? {} : { peekMessages }),
        },
        createTerminal(),
      )
    },
  })
}

interface CommandDefinition extends CommandWords {
  /** Resolves to the exit code. */
  action(flags: Flags, args: readonly string[]): Promise<number>
}

/** Ends the process with the command's code: a client that does not close must not keep the operator waiting. */
function define(command: Command, path: string, { action, ...words }: CommandDefinition): void {
  withOwnOptions(command, path, words).action(async (...given: unknown[]) => {
    const [flags, ...args] = [given.at(-2) as Flags, ...given.slice(0, -2)]
    await exit(await action(flags, args as string[]))
  })
}

/** After what was written has left: standard output may be a pipe. */
async function exit(code: number): Promise<void> {
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()))
  process.exit(code)
}

function text(flags: Flags, key: string): string | undefined {
  const value = flags[key]
  return typeof value === 'string' ? value : undefined
}

function texts<K extends string>(flags: Flags, keys: readonly K[]): { readonly [key in K]?: string } {
  const given = keys.flatMap((key) => {
    const value = text(flags, key)
    return value === undefined ? [] : [[key, value] as const]
  })
  return Object.fromEntries(given) as { readonly [key in K]?: string }
}

function list(flags: Flags, key: string): readonly string[] {
  return (text(flags, key) ?? '').split(',').filter((item) => item.trim() !== '')
}

function count(flags: Flags, key: string): number | undefined {
  const value = text(flags, key)
  if (value === undefined) return undefined
  if (!/^\d{1,9}$/.test(value))
    throw new CliError(`--${key} must be a whole number`, { exitCode: COMMAND_EXIT.unusable })
  return Number(value)
}

function booleans<K extends string>(flags: Flags, keys: readonly K[]): { readonly [key in K]?: boolean } {
  return Object.fromEntries(keys.map((key) => [key, flags[key] === true])) as { readonly [key in K]?: boolean }
}

export type { Flags, RelayConfiguration, Terminal }
