import type { RelayConfiguration } from '../config/settings.ts'
import { describeError } from '../doctor/postgres-connection.ts'
import { createRedactor } from '../ops/logger.ts'
import { COMMAND_EXIT } from './cli-error.ts'
import { type KafkaStatus, readKafkaStatus } from './status-kafka.ts'
import { readSlotStatus, type SlotStatus } from './status-postgres.ts'
import { formatBytes, formatSeconds, jsonLine, printable, type Terminal, table } from './terminal.ts'

export interface StatusOptions {
  readonly json?: boolean
  /** Between two looks, from which rates come; milliseconds. Default 1,000. */
  readonly intervalMs?: number
}

/** `factlib-relay status`: exit code 1 when a side cannot be looked at, or the slot is not there. */
export async function status(
  { settings, routes, secrets }: Pick<RelayConfiguration, 'settings' | 'routes' | 'secrets'>,
  options: StatusOptions,
  terminal: Terminal,
): Promise<number> {
  const intervalMs = options.intervalMs ?? 1_000
  const [slot, kafka] = await Promise.allSettled([
    readSlotStatus(settings, intervalMs),
    readKafkaStatus(settings, routes, intervalMs),
  ])
  const { text } = createRedactor(secrets)
  const failure = (side: PromiseSettledResult<unknown>) =>
    side.status === 'rejected' ? text(describeError(side.reason)) : null
  const exitCode =
    slot.status === 'fulfilled' && slot.value.exists && kafka.status === 'fulfilled'
      ? COMMAND_EXIT.done
      : COMMAND_EXIT.failed
  if (options.json) {
    terminal.write(
      jsonLine({
        slot: slot.status === 'fulfilled' ? slot.value : null,
        slotFailure: failure(slot),
        topics: kafka.status === 'fulfilled' ? kafka.value.topics : null,
        deadLetters: kafka.status === 'fulfilled' ? kafka.value.deadLetters : null,
        kafkaFailure: failure(kafka),
      }),
    )
    return exitCode
  }
  if (slot.status === 'fulfilled') printSlot(slot.value, terminal)
  else terminal.write(`${terminal.paint.red('PostgreSQL cannot be looked at')}: ${failure(slot)}\n`)
  if (kafka.status === 'fulfilled') printKafka(kafka.value, terminal)
  else terminal.write(`${terminal.paint.red('Kafka cannot be looked at')}: ${failure(kafka)}\n`)
  return exitCode
}

/** So far an idle relay may stay behind the end of the WAL. */
const USUAL_LAG_BYTES = 65_536

/**
 * While a relay reads, PostgreSQL knows only what its last confirmation took, and keeps saying so while nothing more is
 * confirmed: shown as an age, `0.0 s` would stand beside a fact that waits for an hour. Whether the WAL in between holds
 * a fact only the relay knows.
 */
export function lagInWords(
  status: Pick<SlotStatus, 'lagSeconds' | 'holder' | 'confirmedLagBytes' | 'confirmedBytesPerSecond'>,
): string {
  const { lagSeconds, holder, confirmedLagBytes, confirmedBytesPerSecond } = status
  if (confirmedLagBytes === 0) return ''
  if (!holder) return lagSeconds === null ? ', age not known' : `, ${formatSeconds(lagSeconds)}`
  if (confirmedLagBytes <= USUAL_LAG_BYTES)
    return ' (up to 64 KiB is usual; /readyz of the relay says whether facts wait)'
  if (confirmedBytesPerSecond === 0)
    return '; nothing was confirmed between the two looks: /readyz of the relay says what waits'
  return lagSeconds === null ? '' : `; the last confirmation took ${formatSeconds(lagSeconds)}`
}

/** PostgreSQL gives no budget without a limit, nor of a slot that is lost already. */
export function budgetInWords(status: Pick<SlotStatus, 'budgetLeftBytes' | 'budgetLeftSeconds' | 'walStatus'>): string {
  const { budgetLeftBytes, budgetLeftSeconds, walStatus } = status
  if (budgetLeftBytes === null) return walStatus === 'lost' ? 'none: the slot is lost' : 'unlimited'
  const lasts = budgetLeftSeconds === null ? '' : `, ${formatSeconds(budgetLeftSeconds)} at the present rate`
  return `${formatBytes(Math.max(0, budgetLeftBytes))} left until PostgreSQL gives up the slot${lasts}`
}

function printSlot(status: SlotStatus, { write, paint }: Terminal): void {
  const { holder } = status
  if (!status.exists) {
    write(`${paint.red(`slot ${status.slot}`)}: does not exist (factlib-relay setup)\n`)
    return
  }
  const line = (name: string, value: string) => write(`  ${name.padEnd(12)}${value}\n`)
  write(`${paint.bold(`slot ${status.slot}`)}: ${status.walStatus ?? ''}\n`)
  line(
    'held by',
    holder
      ? `pid ${holder.pid}, ${printable(holder.applicationName ?? 'no name')} at ${holder.address ?? 'a local socket'}, since ${holder.since ?? '?'}`
      : paint.yellow('nobody: no relay reads it'),
  )
  line('lag', `${formatBytes(status.confirmedLagBytes)} of WAL not confirmed${lagInWords(status)}`)
  line('kept', `${formatBytes(status.restartLagBytes)} of WAL on disk for it`)
  line('budget', budgetInWords(status))
  line(
    'rate',
    `${formatBytes(status.walBytesPerSecond)}/s written, ${formatBytes(status.confirmedBytesPerSecond)}/s confirmed`,
  )
  for (const { message } of status.findings) write(`  ${paint.yellow('!')} ${message}\n`)
}

function printKafka({ topics, deadLetters }: KafkaStatus, { write, paint }: Terminal): void {
  write(`\n${paint.bold('topics')}\n`)
  if (topics.length === 0) write('  none of our prefix\n')
  else
    write(
      table(
        ['  TOPIC', 'RECORDS', 'PER SECOND', 'LAST', 'EVENT', 'KEY', 'AT'],
        topics.map(({ topic, records, recordsPerSecond, last }) => [
          `  ${printable(topic)}`,
          records,
          String(recordsPerSecond),
          last?.at ?? '-',
          printable(last?.eventType ?? '-', 40),
          printable(last?.key ?? '-', 40),
          last ? `${last.partition}@${last.offset}` : '-',
        ]),
      ),
    )
  if (deadLetters === null) return
  const causes = Object.entries(deadLetters)
  write(
    `\n${paint.bold('dead letters')}: ${causes.length === 0 ? 'none' : paint.yellow(causes.map(([cause, count]) => `${count} ${cause}`).join(', '))}\n`,
  )
}
