import { DEAD_LETTER_HEADERS as H } from '../dead-letter.ts'
import { openKafkaSink } from '../kafka/open-sink.ts'
import { silentLogger } from '../observer.ts'
import { partitionFor } from '../partitioner.ts'
import { type Sink, SinkError, type SinkRecord } from '../sink/sink.ts'
import type { RelaySettings } from '../types.ts'
import { CliError, COMMAND_EXIT } from './cli-error.ts'
import type { DeadLetter } from './dead-letter-book.ts'
import { deadLetterTopic, findLetter, readDeadLetters } from './dead-letters.ts'
import { jsonLine, printable, type Terminal } from './terminal.ts'

export interface ResolveOptions {
  readonly id?: string
  /** Every one that is open. */
  readonly all?: boolean
  /** Every open one of this key, UTF-8. */
  readonly key?: string
  /** Instead of the topic where each would have gone. */
  readonly topic?: string
  readonly yes?: boolean
  readonly json?: boolean
}

/** A send that fails for reasons that pass is tried so often. */
const TRIES = 5
const PAUSE_MS = 500

/**
 * `factlib-relay dead-letters requeue`: the fact's own bytes, key and headers into its topic, oldest first, then the
 * marker that it is resolved. Stopped in between, the one that was under way may be in its topic without marker: requeued
 * again it is a duplicate with the same id.
 */
export async function requeue(settings: RelaySettings, options: ResolveOptions, terminal: Terminal): Promise<number> {
  const letters = choose(await readDeadLetters(settings, options.id), settings, options)
  const refusals = letters.flatMap((letter) => refusal(letter, options.topic))
  if (refusals.length > 0)
    throw new CliError(`nothing was requeued:\n${refusals.map((line) => `- ${line}`).join('\n')}`)
  const target = (letter: DeadLetter) => options.topic ?? letter.topic
  return resolveAll(settings, letters, options, terminal, {
    question: `${letters.length} dead letter(s) will be produced to ${[...new Set(letters.map(target))].map((name) => `"${printable(name)}"`).join(', ')}, oldest first.`,
    done: 'requeued',
    async act(sink, letter) {
      const topic = target(letter)
      const { key, headers } = letter
      await send(sink, topic, { key, value: letter.value as Buffer, headers, timestampMs: Date.now() })
      return topic
    },
  })
}

/** `factlib-relay dead-letters discard`: the marker only. The fact never reaches its topic. */
export async function discard(settings: RelaySettings, options: ResolveOptions, terminal: Terminal): Promise<number> {
  const letters = choose(await readDeadLetters(settings), settings, options)
  return resolveAll(settings, letters, options, terminal, {
    question: `${letters.length} dead letter(s) will count as dealt with: their facts NEVER reach Kafka's other topics.`,
    done: 'discarded',
    act: async () => null,
  })
}

function choose(all: readonly DeadLetter[], settings: RelaySettings, options: ResolveOptions): DeadLetter[] {
  const given = [options.id !== undefined, options.all === true, options.key !== undefined].filter(Boolean).length
  if (given !== 1) throw new CliError('say which: an id, --key <key>, or --all', { exitCode: COMMAND_EXIT.unusable })
  const open = all.filter((letter) => !letter.isResolved)
  if (options.all) return open
  if (options.key !== undefined) {
    const key = Buffer.from(options.key)
    return open.filter((letter) => letter.key.equals(key) && letter.cause !== 'malformed')
  }
  const letter = findLetter(all, options.id as string)
  if (letter.isResolved) throw new CliError(`dead letter "${letter.id}" was requeued or discarded already`)
  const earlier = open.filter((one) => one !== letter && one.topic === letter.topic && one.key.equals(letter.key))
  const first = earlier.find((one) => open.indexOf(one) < open.indexOf(letter))
  if (first && settings.deadLetter?.keys === 'block-key' && letter.cause !== 'malformed')
    throw new CliError(
      `an earlier dead letter of its key is open ("${first.id}"), and DEAD_LETTER_KEYS=block-key keeps their order: requeue both with --key, or discard that one first`,
    )
  return [letter]
}

function refusal(letter: DeadLetter, topic: string | undefined): string[] {
  if (letter.problem !== undefined) return [`"${letter.id}": ${letter.problem}`]
  if (topic === undefined && (letter.cause === 'malformed' || letter.topic === ''))
    return [
      `"${letter.id}" is malformed, so it has no topic: say where with --topic <topic>, or dead-letters discard ${letter.id}`,
    ]
  return []
}

interface Resolution {
  readonly question: string
  readonly done: 'requeued' | 'discarded'
  /** What comes before the marker; resolves to the topic that was written. */
  act(sink: Sink, letter: DeadLetter): Promise<string | null>
}

async function resolveAll(
  settings: RelaySettings,
  letters: readonly DeadLetter[],
  options: ResolveOptions,
  terminal: Terminal,
  resolution: Resolution,
): Promise<number> {
  const results: { id: string; topic: string | null }[] = []
  if (letters.length > 0) {
    if (options.yes !== true && !(await terminal.confirm(resolution.question))) {
      terminal.note('Nothing was changed.\n')
      return COMMAND_EXIT.failed
    }
    const sink = openKafkaSink({ target: settings.kafka, logger: silentLogger })
    try {
      for (const letter of letters) {
        const topic = await resolution.act(sink, letter)
        // In the partition of its dead letter, after it: that is how the relay reads them back.
        await send(sink, deadLetterTopic(settings), markerOf(letter), letter.partition)
        results.push({ id: letter.id, topic })
        if (!options.json)
          terminal.write(`${resolution.done} ${letter.id}${topic === null ? '' : ` to ${printable(topic)}`}\n`)
      }
    } catch (error) {
      if (!(error instanceof SinkError)) throw error
      throw new CliError(`${results.length} of ${letters.length} ${resolution.done}, then: ${error.message}`, {
        cause: error,
      })
    } finally {
      await sink.close()
    }
  }
  if (options.json) terminal.write(jsonLine({ ok: true, [resolution.done]: results }))
  else if (letters.length === 0) terminal.write('No open dead letters match.\n')
  else if (settings.deadLetter?.keys === 'block-key')
    terminal.note(
      'DEAD_LETTER_KEYS=block-key: restart the relay, which reads at its start which keys are free again.\n',
    )
  return COMMAND_EXIT.done
}

function markerOf(letter: DeadLetter): SinkRecord {
  return {
    key: letter.key,
    value: Buffer.alloc(0),
    headers: { [H.resolved]: letter.id, [H.topic]: letter.topic, [H.cause]: letter.cause },
    timestampMs: Date.now(),
  }
}

async function send(sink: Sink, topic: string, record: SinkRecord, partition?: number): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const count = await sink.partitionCount(topic)
      return await sink.send(topic, partition ?? partitionFor(record.key, count), [record])
    } catch (error) {
      const kind = error instanceof SinkError ? error.kind : undefined
      if (attempt >= TRIES || (kind !== 'retry' && kind !== 'renew')) throw error
      if (kind === 'renew') await sink.renew()
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * attempt))
    }
  }
}
