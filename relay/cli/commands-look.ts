/** The words of `status` and `tail`. */
import type { Command } from 'commander'
import { booleans, count, define, JSON_OPTION, list, texts } from './define-command.ts'
import { loadConfiguration } from './load-configuration.ts'
import { createTerminal } from './terminal.ts'

export function addStatus(program: Command): void {
  const command = program
    .command('status')
    .description(
      'the slot and who holds it, lag, rates, the last fact of each topic, dead letters; two looks, then it ends',
    )
  define(command, 'status', {
    usage: '[options]',
    options: [['--interval <ms>', 'between the two looks (default: 1000)'], JSON_OPTION],
    notes: ['Exit codes: 0 both sides could be looked at, 1 one could not, or the slot is not there.'],
    examples: ['factlib-relay status', "factlib-relay status --json | jq '.slot.confirmedLagBytes'"],
    async action(flags) {
      const intervalMs = count(flags, 'interval')
      const configuration = await loadConfiguration(flags)
      const { status } = await import('./status.ts')
      return status(
        configuration,
        { ...booleans(flags, ['json']), ...(intervalMs === undefined ? {} : { intervalMs }) },
        createTerminal(),
      )
    },
  })
}

export function addTail(program: Command): void {
  const command = program
    .command('tail')
    .description('facts, decoded: the latest of Kafka, what comes, or what waits in the slot; consumes nothing')
  define(command, 'tail', {
    usage: '[options]',
    options: [
      ['--topic <list>', 'these topics (default: all of our prefix, and those of routes)'],
      ['--aggregate-type <type>', 'only this one'],
      ['--aggregate-id <id>', 'only this one'],
      ['--event-type <type>', 'only this one'],
      ['--limit <count>', 'the latest so many; of the slot the oldest (default: 10)'],
      ['--follow', 'go on with what comes, until Ctrl-C'],
      ['--from-slot', 'what waits in the slot and is not in Kafka yet; only while no relay reads it'],
      ['--payload', 'show payloads: JSON indented, bytes as a dump'],
      ['--json', 'one JSON object a fact and line'],
    ],
    notes: [
      'With a filter the latest 10,000 records of each partition are looked at.',
      'Payloads may hold personal data: they are shown only with --payload.',
    ],
    examples: [
      'factlib-relay tail --follow --aggregate-id o-17 --payload',
      'factlib-relay tail --from-slot --limit 5          # why is nothing coming?',
    ],
    async action(flags) {
      const limit = count(flags, 'limit')
      const configuration = await loadConfiguration(flags)
      const { tail } = await import('./tail.ts')
      const abort = new AbortController()
      process.once('SIGINT', () => abort.abort())
      process.once('SIGTERM', () => abort.abort())
      return tail(
        configuration,
        {
          ...booleans(flags, ['follow', 'fromSlot', 'payload', 'json']),
          ...texts(flags, ['aggregateType', 'aggregateId', 'eventType']),
          ...(limit === undefined ? {} : { limit }),
          topics: list(flags, 'topic'),
          signal: abort.signal,
        },
        createTerminal(),
      )
    },
  })
}
