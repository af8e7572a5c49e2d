import { HEARTBEAT_PREFIX } from '../src/fact-rules.ts'
import type { ConfirmationSample } from './confirmation-watch.ts'
import { createDeferred, type Deferred, withinLimit } from './deferred.ts'
import type { Destination, Entry } from './entry.ts'
import { RelayHaltError } from './errors.ts'
import { Ledger, type LedgerUnit } from './ledger.ts'
import { type Lsn, ZERO_LSN } from './lsn.ts'
import type { SourceEvents, SourceSession } from './source/source.ts'
import type { RelayObserver } from './types.ts'
import type { Window } from './window.ts'

/** What a message of the stream brings, before it is an entry. */
export interface IncomingMessage {
  readonly systemId: bigint
  /** Registers the fact in the ledger; call it once the entry is certain. */
  readonly register: () => Entry['unit']
  readonly transactional: boolean
  readonly messageLsn: Lsn
  /** `Entry.unitLsn`. */
  readonly unitLsn: Lsn
  /** `Entry.indexInUnit`. */
  readonly indexInUnit: number
  readonly prefix: string
  /** A view that is valid during the call only: copy what is kept. */
  readonly content: Buffer
  /** Microseconds since 1970; undefined for a non-transactional message. */
  readonly commitTimeMicros: bigint | undefined
  /** Monotonic milliseconds. */
  readonly receivedAtMs: number
}

export interface IntakeOptions {
  readonly window: Window
  readonly destination: Destination
  readonly observer: RelayObserver
  /** Whether a message of this prefix is ours. */
  readonly accepts: (prefix: string) => boolean
  /**
   * Makes an entry of a message. Undefined: not ours after all.
   *
   * @throws RelayHaltError when it cannot be read.
   */
  readonly interpret: (message: IncomingMessage) => Entry | undefined
  readonly onStarted: (session: SourceSession) => void
  readonly onHalt: (error: RelayHaltError) => void
  readonly onServerStopping: () => void
  /** Every fact before this position is durable. */
  readonly onDurable: (lsn: Lsn) => void
}

/**
 * One connection's stream, from its events to the ledger and the destination, all synchronous: a position is registered
 * before anything can be awaited. Once stopped, what the stream says is ignored, and therefore never confirmed.
 */
export class Intake implements SourceEvents {
  readonly #options: IntakeOptions
  /** One object for all messages: it is read during the call only. */
  readonly #message = new Incoming()
  #session: SourceSession | undefined
  #ledger: Ledger | undefined
  #commitTimeMicros: bigint | undefined
  #finalLsn: Lsn = ZERO_LSN
  /** Messages of the open transaction so far, whatever their prefix: other settings must not renumber them. */
  #messagesInUnit = 0
  #lastFactEndLsn: Lsn = ZERO_LSN
  #turnStartMs: number | undefined
  #stopped = false
  #stopAtCommit = false
  #drained: Deferred<void> | undefined

  constructor(options: IntakeOptions) {
    this.#options = options
  }

  get session(): SourceSession | undefined {
    return this.#session
  }

  get pendingFacts(): number {
    return this.#ledger?.pendingFacts ?? 0
  }

  /** For the watch on confirmations; undefined: no stream. */
  get confirmation(): Omit<ConfirmationSample, 'reportedLsn'> | undefined {
    const ledger = this.#ledger
    return (
      ledger && {
        lastFactEndLsn: this.#lastFactEndLsn,
        durableLsn: ledger.confirmableLsn,
        pendingFacts: ledger.pendingFacts,
      }
    )
  }

  /** When the oldest transaction that waits was committed, microseconds since 1970; undefined: none does, or it is not known. */
  get oldestCommitMicros(): bigint | undefined {
    return this.#ledger?.oldestCommitMicros
  }

  /** Takes nothing more, from the next message on. */
  stop(): void {
    this.#stopped = true
    this.#checkDrained()
  }

  /**
   * Takes the rest of the open transaction and nothing after it: half of it now and all of it again later would be
   * duplicates.
   */
  stopAtCommit(): void {
    if (this.#ledger?.isOpen) this.#stopAtCommit = true
    else this.stop()
  }

  /** The connection is gone: nothing of it can be settled any more. */
  abandon(): void {
    this.#stopped = true
    this.#ledger = undefined
    this.#session = undefined
    this.#drained?.resolve()
  }

  /** These entries are durable. Those of an older connection's ledger move nothing here. */
  settle(entries: readonly Entry[]): void {
    const ledger = this.#ledger
    if (!ledger) return
    let moved = false
    // Facts of one transaction stand together: they are settled together.
    let unit: LedgerUnit | undefined
    let count = 0
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as Entry
      if (!entry.settles) continue
      if (entry.unit !== unit) {
        if (unit && ledger.settle(unit, count)) moved = true
        unit = entry.unit
        count = 0
      }
      count++
    }
    if (unit && ledger.settle(unit, count)) moved = true
    if (moved) this.#confirm(ledger.confirmableLsn, true)
    this.#checkDrained()
  }

  /** Resolves to true when intake has stopped and nothing waits, to false when that takes longer than `limitMs` or the connection is lost. */
  async whenDrained(limitMs: number): Promise<boolean> {
    if (!this.#isDrained()) {
      this.#drained ??= createDeferred<void>()
      await withinLimit(this.#drained.promise, limitMs)
    }
    return this.#isDrained()
  }

  onStart(session: SourceSession): void {
    this.#session = session
    this.#ledger = new Ledger(session.startLsn)
    this.#message.ledger = this.#ledger
    this.#message.systemId = session.systemId
    if (this.#options.window.isFull) session.pause()
    this.#options.onStarted(session)
  }

  onBegin(finalLsn: Lsn, commitTimeMicros: bigint): void {
    if (this.#stopped) return
    this.#finalLsn = finalLsn
    this.#messagesInUnit = 0
    this.#commitTimeMicros = commitTimeMicros
    this.#ledger?.begin(commitTimeMicros)
  }

  onMessage(transactional: boolean, messageLsn: Lsn, prefix: string, content: Buffer): void {
    if (this.#stopped) return
    const ledger = this.#ledger as Ledger
    const indexInUnit = transactional ? this.#messagesInUnit++ : 0
    let entry: Entry | undefined
    if (prefix !== HEARTBEAT_PREFIX && this.#options.accepts(prefix)) {
      const message = this.#message
      message.transactional = transactional
      message.messageLsn = messageLsn
      message.unitLsn = transactional ? this.#finalLsn : messageLsn
      message.indexInUnit = indexInUnit
      message.prefix = prefix
      message.content = content
      message.receivedAtMs = this.#turnMs()
      message.commitTimeMicros = transactional ? this.#commitTimeMicros : undefined
      entry = this.#interpret(message)
    }
    // A malformed fact has stopped the intake: it must not count as something that needs nothing.
    if (this.#stopped) return
    if (entry === undefined) {
      if (prefix === HEARTBEAT_PREFIX) this.#session?.heartbeat(content)
      else this.#options.observer.foreign?.()
      if (!transactional) {
        ledger.skipAlone(messageLsn)
        this.#confirm(ledger.confirmableLsn, false)
      }
      return
    }
    if (!transactional) this.#lastFactEndLsn = messageLsn
    this.#options.observer.consumed(entry.aggregateType, entry.eventType)
    this.#options.window.add(entry.bytes)
    this.#options.destination.push(entry)
  }

  onCommit(endLsn: Lsn): void {
    if (this.#stopped) return
    const ledger = this.#ledger as Ledger
    const hadFacts = ledger.commit(endLsn)
    if (hadFacts) this.#lastFactEndLsn = endLsn
    this.#confirm(ledger.confirmableLsn, hadFacts)
    if (this.#stopAtCommit) this.stop()
  }

  onKeepalive(walEnd: Lsn): void {
    if (!this.#stopped && this.#ledger?.keepalive(walEnd)) this.#confirm(walEnd, false)
  }

  onServerStopping(): void {
    if (!this.#stopped) this.#options.onServerStopping()
  }

  #interpret(message: IncomingMessage): Entry | undefined {
    try {
      return this.#options.interpret(message)
    } catch (error) {
      if (!(error instanceof RelayHaltError)) throw error
      this.stop()
      this.#options.onHalt(error)
      return undefined
    }
  }

  #confirm(lsn: Lsn, hasFacts: boolean): void {
    this.#session?.confirm(lsn, hasFacts)
    this.#options.onDurable(lsn)
  }

  /** The time of this turn of the event loop: a chunk of the socket brings hundreds of messages at once. */
  #turnMs(): number {
    if (this.#turnStartMs === undefined) {
      this.#turnStartMs = performance.now()
      queueMicrotask(() => {
        this.#turnStartMs = undefined
      })
    }
    return this.#turnStartMs
  }

  #isDrained(): boolean {
    return this.#stopped && this.#ledger !== undefined && this.pendingFacts === 0
  }

  #checkDrained(): void {
    if (this.#drained && this.#isDrained()) this.#drained.resolve()
  }
}

class Incoming implements IncomingMessage {
  ledger: Ledger | undefined
  systemId = 0n
  transactional = true
  messageLsn: Lsn = ZERO_LSN
  unitLsn: Lsn = ZERO_LSN
  indexInUnit = 0
  prefix = ''
  content: Buffer = Buffer.alloc(0)
  commitTimeMicros: bigint | undefined
  receivedAtMs = 0

  register(): LedgerUnit {
    const ledger = this.ledger as Ledger
    return this.transactional ? ledger.add() : ledger.addAlone(this.messageLsn)
  }
}
