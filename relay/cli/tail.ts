import { decodeFact } from '../../src/envelope/decode.ts'
import type { Fact } from '../../src/fact.ts'
import type { RelayConfiguration } from '../config/settings.ts'
import { CliError, COMMAND_EXIT } from './cli-error.ts'
import { showPayload } from './payload.ts'
import { jsonLine, printable, type Terminal } from './terminal.ts'

export interface TailOptions {
  /** Peek into the slot, whose facts did not reach Kafka yet. */
  readonly fromSlot?: boolean
  readonly topics?: readonly string[]
  readonly aggregateType?: string
  readonly aggregateId?: string
  readonly eventType?: string
  /** Default 10. */
  readonly limit?: number
  /** Go on with what comes, until `signal`. */
  readonly follow?: boolean
  readonly payload?: boolean
  readonly json?: boolean
  readonly signal?: AbortSignal
}

/** One message, from either side, not yet decoded. */
export interface TailMessage {
  readonly topic: string | undefined
  readonly prefix: string
  /** Where it is: `3@1042` in Kafka (partition, offset), an LSN in the slot. */
  readonly position: string
  /** Milliseconds since 1970: the record's timestamp, or the commit; undefined: neither. */
  readonly atMs: number | undefined
  readonly value: Buffer
  /** Where the envelope has none: the header of the record. */
  readonly id: string | undefined
}

/** A side to read from. */
export interface TailSource {
  /** The latest of what is there (or, of a slot, the oldest), at least `limit` that pass, where there are so many. */
  recent(limit: number, passes: (message: TailMessage) => boolean): Promise<TailMessage[]>
  /** What comes after that, until the signal. */
  follow?(onMessage: (message: TailMessage) => void, signal: AbortSignal): Promise<void>
  /** Why there may be more than `recent` has found; undefined: it has looked at everything. */
  readonly unseen?: string | undefined
  close(): Promise<void>
}

const DEFAULT_LIMIT = 10

/** `factlib-relay tail` */
export async function tail(
  configuration: Pick<RelayConfiguration, 'settings' | 'routes'>,
  options: TailOptions,
  terminal: Terminal,
): Promise<number> {
  if (options.fromSlot && options.follow)
    throw new CliError('--follow goes with Kafka: each look into a slot decodes all that waits in it again', {
      exitCode: COMMAND_EXIT.unusable,
    })
  const source = options.fromSlot
    ? await (await import('./tail-slot.ts')).openSlotTail(configuration)
    : await (await import('./tail-kafka.ts')).openKafkaTail(configuration, options.topics ?? [])
  const { signal } = options
  try {
    const passes = (message: TailMessage) => matches(message, options)
    const print = (message: TailMessage) => printMessage(message, options, terminal)
    const limit = options.limit ?? DEFAULT_LIMIT
    const recent = (limit === 0 ? [] : await source.recent(limit, passes)).filter(passes)
    for (const message of options.fromSlot ? recent.slice(0, limit) : recent.slice(-limit)) print(message)
    if (options.follow && source.follow)
      await source.follow((message) => passes(message) && print(message), signal ?? new AbortController().signal)
    else if (recent.length === 0 && source.unseen !== undefined) terminal.note(`${source.unseen}\n`)
    else if (recent.length === 0 && !options.json) terminal.note('Nothing there that matches.\n')
    return COMMAND_EXIT.done
  } finally {
    await source.close()
  }
}

const decoded = new WeakMap<TailMessage, Fact | undefined>()

/** Undefined: not a fact. */
function factOf(message: TailMessage): Fact | undefined {
  if (!decoded.has(message)) {
    let fact: Fact | undefined
    try {
      fact = decodeFact(message.value)
    } catch {
      // Shown as what it is: bytes.
    }
    decoded.set(message, fact)
  }
  return decoded.get(message)
}

function matches(message: TailMessage, options: TailOptions): boolean {
  const { topics = [], aggregateType, aggregateId, eventType } = options
  if (topics.length > 0 && !topics.includes(message.topic ?? '')) return false
  if (aggregateType === undefined && aggregateId === undefined && eventType === undefined) return true
  const fact = factOf(message)
  return (
    fact !== undefined &&
    (aggregateType === undefined || fact.aggregateType === aggregateType) &&
    (aggregateId === undefined || fact.aggregateId === aggregateId) &&
    (eventType === undefined || fact.eventType === eventType)
  )
}

function printMessage(message: TailMessage, options: TailOptions, { write, paint }: Terminal): undefined {
  const fact = factOf(message)
  const at = message.atMs === undefined ? null : new Date(message.atMs).toISOString()
  const id = fact?.id || message.id || null
  if (options.json) {
    write(
      jsonLine({
        at,
        topic: message.topic ?? null,
        position: message.position,
        prefix: message.prefix,
        id,
        aggregateType: fact?.aggregateType ?? null,
        aggregateId: fact?.aggregateId ?? null,
        eventType: fact?.eventType ?? null,
        createdAt: fact?.createdAt?.toISOString() ?? null,
        metadata: fact?.metadata ?? {},
        traceId: fact?.trace?.traceId || null,
        bytes: message.value.length,
        isFact: fact !== undefined,
        ...(options.payload ? { payload: payloadJson(fact ? fact.payload : message.value) } : {}),
      }),
    )
    return
  }
  const what = fact
    ? `${paint.bold(printable(fact.eventType) || '(no event type)')} ${printable(fact.aggregateType)} ${printable(fact.aggregateId)}`
    : paint.red('not a fact')
  const where = `${printable(message.topic ?? message.prefix)} ${message.position}`
  write(
    `${paint.dim(at ?? '-')}  ${where}  ${what}  ${paint.dim(`${id ?? 'no id yet'}, ${message.value.length} bytes`)}\n`,
  )
  if (options.payload) write(`${showPayload(fact ? fact.payload : message.value).replace(/^/gm, '    ')}\n`)
}

/** The value where it is JSON, else its bytes in base64. */
function payloadJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    return { base64: Buffer.from(bytes).toString('base64') }
  }
}
