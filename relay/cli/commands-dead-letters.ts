/** The words of `dead-letters …`. */
import type { Command } from 'commander'
import { booleans, define, type Flags, JSON_OPTION, texts, YES_OPTION } from './define-command.ts'
import { loadConfiguration } from './load-configuration.ts'
import { createTerminal } from './terminal.ts'

export function addDeadLetters(program: Command): void {
  const group = program
    .command('dead-letters')
    .description('facts that Kafka did not take, in DEAD_LETTER_TOPIC: list, show, requeue, discard')
  const which = ['--all', 'every open one'] as const
  const key = ['--key <key>', 'every open one of this key (aggregate id)'] as const
  define(group.command('list').description('dead letters, oldest first'), 'dead-letters list', {
    usage: '[options]',
    options: [['--all', 'those that were requeued or discarded, too'], JSON_OPTION],
    examples: ['factlib-relay dead-letters list', "factlib-relay dead-letters list --json | jq -r '.deadLetters[].id'"],
    async action(flags) {
      const { settings } = await loadConfiguration(flags)
      const { listDeadLetters } = await import('./dead-letters.ts')
      return listDeadLetters(settings, booleans(flags, ['all', 'json']), createTerminal())
    },
  })
  define(group.command('show <id>').description('one dead letter: why, whose, its headers'), 'dead-letters show', {
    usage: '<id> [options]',
    options: [['--payload', 'its payload too: JSON indented, bytes as a dump'], JSON_OPTION],
    examples: ['factlib-relay dead-letters show 0190… --payload'],
    async action(flags, [id = '']) {
      const { settings } = await loadConfiguration(flags)
      const { showDeadLetter } = await import('./dead-letters.ts')
      return showDeadLetter(settings, id, booleans(flags, ['payload', 'json']), createTerminal())
    },
  })
  define(
    group
      .command('requeue [id]')
      .description('produce the fact as it was emitted to its topic, and mark it as resolved'),
    'dead-letters requeue',
    {
      usage: '<id> | --key <key> | --all [options]',
      options: [which, key, ['--topic <topic>', 'to this topic instead of its own'], YES_OPTION, JSON_OPTION],
      notes: [
        'First mend the cause: raise max.message.bytes, create the topic, add the route. Several go oldest first.',
        'With DEAD_LETTER_KEYS=block-key the relay must be restarted afterwards: it reads at its start which keys are free.',
        'A malformed one has no topic: it goes only where --topic says, as the bytes that it is.',
      ],
      examples: [
        'factlib-relay dead-letters requeue --key o-17     # asks',
        'factlib-relay dead-letters requeue --all --yes',
      ],
      async action(flags, [id]) {
        const { settings } = await loadConfiguration(flags)
        const { requeue } = await import('./requeue.ts')
        return requeue(settings, resolveOptions(flags, id), createTerminal())
      },
    },
  )
  define(
    group.command('discard [id]').description('mark it as resolved without producing it: the fact is given up'),
    'dead-letters discard',
    {
      usage: '<id> | --key <key> | --all [options]',
      options: [which, key, YES_OPTION, JSON_OPTION],
      notes: [
        'The record stays in the dead-letter topic as long as the topic keeps it. With block-key restart the relay.',
      ],
      examples: ['factlib-relay dead-letters discard 0190…'],
      async action(flags, [id]) {
        const { settings } = await loadConfiguration(flags)
        const { discard } = await import('./requeue.ts')
        return discard(settings, resolveOptions(flags, id), createTerminal())
      },
    },
  )
}

function resolveOptions(flags: Flags, id: string | undefined) {
  return {
    ...booleans(flags, ['all', 'yes', 'json']),
    ...texts(flags, ['key', 'topic']),
    ...(id === undefined ? {} : { id }),
  }
}
