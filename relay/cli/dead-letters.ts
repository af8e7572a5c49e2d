import { decodeFact } from '../../src/envelope/decode.ts'
import { DEAD_LETTER_HEADERS as H } from '../dead-letter.ts'
import { openTopicReader } from '../kafka/kafkajs-fetch.ts'
import { silentLogger } from '../observer.ts'
import { SinkError } from '../sink/sink.ts'
import type { RelaySettings } from '../types.ts'
import { CliError, COMMAND_EXIT } from './cli-error.ts'
import { collectDeadLetters, type DeadLetter, type DeadLetterRecord } from './dead-letter-book.ts'
import { showPayload } from './payload.ts'
import { jsonLine, printable, type Terminal, table } from './terminal.ts'

/** The topic of the settings. */
export function deadLetterTopic(settings: Pick<RelaySettings, 'deadLetter'>): string {
  if (!settings.deadLetter)
    throw new CliError(
      'DEAD_LETTER_TOPIC is not set: set it to what the relay runs with; if that has none, there are no dead letters, and a fact that Kafka never takes holds its partition',
      {
        exitCode: COMMAND_EXIT.unusable,
      },
    )
  return settings.deadLetter.topic
}

/** What reading a topic found of it. */
interface ReadThrough {
  readonly exists: boolean
  /** Records were left out. */
  readonly isPartial: boolean
}

/** Dead letters without their values. */
export interface LookedThrough {
  readonly letters: readonly DeadLetter[]
  /** There is more in the topic than was looked through. */
  readonly isPartial: boolean
}

const EMPTY = Buffer.alloc(0)

/**
 * Everything in the topic, in the order of dead-lettering; none when it does not exist.
 *
 * @param onlyValueOf only the value of this one is held, for whoever has little memory; of the others `value` and `problem`
 * mean nothing. Absent: all are.
 */
export async function readDeadLetters(
  settings: Pick<RelaySettings, 'deadLetter' | 'kafka'>,
  onlyValueOf?: string,
): Promise<DeadLetter[]> {
  return (await readWholeTopic(settings, onlyValueOf)).letters
}

async function readWholeTopic(
  settings: Pick<RelaySettings, 'deadLetter' | 'kafka'>,
  onlyValueOf?: string,
): Promise<{ readonly letters: DeadLetter[]; readonly exists: boolean }> {
  const records: DeadLetterRecord[] = []
  const { exists } = await readRecords(settings, undefined, (record) => {
    const isWanted = onlyValueOf === undefined || record.headers[H.id] === onlyValueOf
    records.push(isWanted ? record : withoutValue(record))
  })
  return { letters: collectDeadLetters(records), exists }
}

/** The latest of each partition, `most` records at most, without values: `value` and `problem` mean nothing. */
export async function lookAtDeadLetters(
  settings: Pick<RelaySettings, 'deadLetter' | 'kafka'>,
  most: number,
): Promise<LookedThrough> {
  const records: DeadLetterRecord[] = []
  const { isPartial } = await readRecords(settings, most, (record) => records.push(withoutValue(record)))
  return { letters: collectDeadLetters(records), isPartial }
}

/** The key is copied: it may be a view into the bytes of a whole answer. */
function withoutValue(record: DeadLetterRecord): DeadLetterRecord {
  return { ...record, key: Buffer.from(record.key), value: EMPTY }
}

async function readRecords(
  settings: Pick<RelaySettings, 'deadLetter' | 'kafka'>,
  most: number | undefined,
  onRecord: (record: DeadLetterRecord) => void,
): Promise<ReadThrough> {
  const topic = deadLetterTopic(settings)
  try {
    const reader = await openTopicReader(settings.kafka, silentLogger, [topic])
    try {
      let isPartial = false
      for (const { low, high, ...place } of reader.partitions) {
        const leftOut = most !== undefined && high - low > BigInt(most)
        isPartial ||= leftOut
        await reader.read({ ...place, offset: leftOut ? high - BigInt(most) : low }, { untilEnd: true }, onRecord)
      }
      return { exists: true, isPartial }
    } finally {
      await reader.close()
    }
  } catch (error) {
    if (error instanceof SinkError && error.kind === 'topicMissing') return { exists: false, isPartial: false }
    if (error instanceof SinkError) throw new CliError(error.message, { cause: error })
    throw error
  }
}

/** `factlib-relay dead-letters list` */
export async function listDeadLetters(
  settings: RelaySettings,
  options: { readonly all?: boolean; readonly json?: boolean },
  terminal: Terminal,
): Promise<number> {
  const { letters, exists } = await readWholeTopic(settings)
  const shown = letters.filter((letter) => options.all || !letter.isResolved)
  if (options.json) {
    terminal.write(
      jsonLine({ topic: deadLetterTopic(settings), deadLetters: shown.map((letter) => deadLetterJson(letter)) }),
    )
    return COMMAND_EXIT.done
  }
  const hidden = letters.length - shown.length
  if (!exists) terminal.write(`No dead letters: topic "${deadLetterTopic(settings)}" does not exist (yet).\n`)
  else if (shown.length === 0) terminal.write('No dead letters.\n')
  else
    terminal.write(
      table(
        ['ID', 'CAUSE', 'TOPIC', 'KEY', 'LSN', 'ATTEMPTS', 'PARTS', 'WHEN', ...(options.all ? ['RESOLVED'] : [])],
        shown.map((letter) => [
          printable(letter.id, 60),
          letter.cause,
          printable(letter.topic, 60) || '?',
          printable(letter.key.toString(), 40),
          letter.lsn,
          String(letter.attempts),
          String(letter.parts),
          new Date(letter.timestampMs).toISOString(),
          ...(options.all ? [letter.isResolved ? 'yes' : 'no'] : []),
        ]),
      ),
    )
  if (hidden > 0) terminal.write(`${hidden} that were requeued or discarded are left out (--all shows them).\n`)
  return COMMAND_EXIT.done
}

/** `factlib-relay dead-letters show <id>` */
export async function showDeadLetter(
  settings: RelaySettings,
  id: string,
  options: { readonly payload?: boolean; readonly json?: boolean },
  { write }: Terminal,
): Promise<number> {
  const letter = findLetter(await readDeadLetters(settings), id)
  const fact = factOf(letter)
  if (options.json) {
    const payload = options.payload && letter.value ? letter.value.toString('base64') : undefined
    write(jsonLine({ ...deadLetterJson(letter), ...(payload === undefined ? {} : { valueBase64: payload }) }))
    return COMMAND_EXIT.done
  }
  const line = (name: string, value: string) => write(`${name.padEnd(12)}${printable(value, 1_000)}\n`)
  line('id', letter.id)
  line('cause', letter.cause)
  line('detail', letter.detail)
  line('topic', letter.topic || '(unknown)')
  line('key', letter.key.toString())
  line('prefix', letter.prefix)
  line('lsn', letter.lsn)
  line('attempts', String(letter.attempts))
  line('when', new Date(letter.timestampMs).toISOString())
  line('at', `partition ${letter.partition}, offset ${letter.offset}, ${letter.parts} part(s)`)
  line('resolved', letter.isResolved ? 'yes' : 'no')
  line('bytes', letter.value ? String(letter.value.length) : 'unknown')
  if (letter.problem !== undefined) line('problem', letter.problem)
  if (fact) line('fact', `${fact.aggregateType} ${fact.aggregateId} ${fact.eventType}`)
  for (const [name, value] of Object.entries(letter.headers)) line('header', `${name}: ${value}`)
  if (options.payload && letter.value) write(`\n${showPayload(fact ? fact.payload : letter.value)}\n`)
  return COMMAND_EXIT.done
}

export function findLetter(letters: readonly DeadLetter[], id: string): DeadLetter {
  const letter = letters.find((one) => one.id === id)
  if (!letter) throw new CliError(`there is no dead letter "${id}": factlib-relay dead-letters list --all shows all`)
  return letter
}

/** Without the value; the keys stay. */
export function deadLetterJson(letter: DeadLetter) {
  const { value, key, offset, timestampMs, problem, ...rest } = letter
  return {
    ...rest,
    key: key.toString(),
    offset: String(offset),
    bytes: value?.length ?? null,
    at: new Date(timestampMs).toISOString(),
    problem: problem ?? null,
  }
}

function factOf(letter: DeadLetter) {
  if (!letter.value || letter.cause === 'malformed') return undefined
  try {
    return decodeFact(letter.value)
  } catch {
    return undefined
  }
}
