/**
 * The operator's commands beside `run`: their words, options and examples. What they do is in a file each, loaded only
 * when it is asked for.
 */
import type { Command } from 'commander'
import { addDeadLetters } from './commands-dead-letters.ts'
import { addStatus, addTail } from './commands-look.ts'
import { booleans, count, define, JSON_OPTION, list, text, texts, YES_OPTION } from './define-command.ts'
import { environment, loadConfiguration } from './load-configuration.ts'
import { createTerminal } from './terminal.ts'

/** A prefix says which facts are ours, which these commands do not look at. */
const NO_PREFIX = { prefix: '*' }

export function addOperatorCommands(program: Command): void {
  addSetup(program)
  addTeardown(program)
  addDoctor(program)
  addStatus(program)
  addTail(program)
  addDeadLetters(program)
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
