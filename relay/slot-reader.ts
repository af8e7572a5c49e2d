import type { Destination, Entry } from './entry.ts'
import { RelayHaltError, SlotInUseError } from './errors.ts'
import { Ledger } from './ledger.ts'
import { isOver, type LifecycleEvent, nextPhase, type Phase } from './lifecycle.ts'
import { formatLsn, type Lsn } from './lsn.ts'
import { decideSourceFault, EXIT } from './policy.ts'
import type { Source, SourceEvents, SourceSession } from './source/source.ts'
import type { RelayLogger, RelayObserver, RelayOutcome } from './types.ts'
import { Window } from './window.ts'

// From the slot to a destination and back to the slot: the half of the relay that knows no Kafka.
//
//   Source ──events──▶ Ledger (what was received) ──entries──▶ Destination
//     ▲                   │ ◀── settle ── onDone(entries)
//     └── confirm ────────┘
//
// It also runs the lifecycle: connect, stand by, reconnect, drain, halt. Everything between an event of the source and
// the ledger is synchronous, so a position is registered before anything can be awaited.

/** How long to drain before the connection goes because the server stops, or the relay halts. */
const SHORT_DRAIN_MS = 5_000
/** How long the server may take to prove that it has the last position. */
const PROOF_MS = 2_000

export interface SlotReaderOptions {
  readonly source: Source
  readonly slot: string
  readonly windowFacts: number
  readonly windowBytes: number
  readonly drainTimeoutMs: number
  readonly logger: RelayLogger
  readonly observer: RelayObserver
  /** Whether a message of this prefix is ours. */
  readonly accepts: (prefix: string) => boolean
  /**
   * Makes an entry of a message; copies what it keeps of `content`. Undefined: not ours after all.
   *
   * @throws RelayHaltError when it cannot be read.
   */
  readonly interpret: (message: IncomingMessage) => Entry | undefined
  readonly destination: Destination
}

export interface IncomingMessage {
  readonly systemId: bigint
  /** Registers the fact; call it once the entry is certain. */
  readonly register: () => Entry['unit']
  readonly transactional: boolean
  readonly messageLsn: Lsn
  readonly prefix: string
  readonly content: Buffer
  readonly commitTimeMicros: bigint | undefined
  readonly receivedAtMs: number
}

export class SlotReader {
  readonly #options: SlotReaderOptions
  readonly #window: Window
  readonly #abort = new AbortController()
  #phase: Phase = 'idle'
  #ledger: Ledger | undefined
  #session: SourceSession | undefined
  #commitTimeMicros: bigint | undefined
  /** From here on what the stream says is ignored, and therefore never confirmed. */
  #intakeStopped = false
  #stopAtCommit = false
  #lastError: unknown
  #halted: RelayHaltError | undefined
  #drainWaiters: (() => void)[] = []
  #flushWaiters: { readonly lsn: Lsn; readonly resolve: () => void }[] = []
  #flushedLsn: Lsn = 0n as Lsn
  #starting: PromiseWithResolversLike<void> | undefined
  readonly #stopped = withResolvers<RelayOutcome>()
  #stopping: Promise<void> | undefined

  constructor(options: SlotReaderOptions) {
    this.#options = options
    this.#window = new Window(
      { facts: options.windowFacts, bytes: options.windowBytes },
      { pause: () => this.#session?.pause(), resume: () => this.#session?.resume() },
    )
  }

  get phase(): Phase {
    return this.#phase
  }

  get window(): Window {
    return this.#window
  }

  /** What keeps the relay from PostgreSQL, in words; undefined while streaming or on standby. */
  get trouble(): string | undefined {
    if (this.#phase === 'streaming' || this.#phase === 'standby') return undefined
    if (this.#phase === 'connecting')
      return this.#lastError === undefined
        ? 'connecting to PostgreSQL'
        : `not connected to PostgreSQL: ${describe(this.#lastError)}`
    return this.#phase === 'failed' ? `halted: ${describe(this.#halted)}` : this.#phase
  }

  start(): Promise<void> {
    if (!this.#starting) {
      this.#starting = withResolvers<void>()
      this.#starting.promise.catch(() => {}) // The caller may look only at whenStopped().
      this.#dispatch('start')
      void this.#run()
    }
    return this.#starting.promise
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  whenStopped(): Promise<RelayOutcome> {
    return this.#stopped.promise
  }

  whenFlushed(lsn: Lsn): Promise<void> {
    if (this.#flushedLsn >= lsn) return Promise.resolve()
    return new Promise((resolve) => this.#flushWaiters.push({ lsn, resolve }))
  }

  /** The destination says: durable. */
  done(entries: readonly Entry[]): void {
    const ledger = this.#ledger
    let moved = false
    let bytes = 0
    for (const entry of entries) {
      bytes += entry.bytes
      if (ledger?.settle(entry.unit, 1)) moved = true
    }
    if (moved) this.#session?.confirm((ledger as Ledger).confirmableLsn)
    this.#window.remove(entries.length, bytes)
    this.#checkDrained()
  }

  /** The destination says: forgotten, as it was told. */
  dropped(entries: readonly Entry[]): void {
    let bytes = 0
    for (const entry of entries) bytes += entry.bytes
    this.#window.remove(entries.length, bytes)
  }

  /** Stops before what cannot be handled; what was received before is still delivered and confirmed. */
  halt(error: RelayHaltError): void {
    if (this.#halted || isOver(this.#phase)) return
    this.#halted = error
    this.#intakeStopped = true
    this.#options.logger.error({ code: error.code, exitCode: error.exitCode }, error.message)
    void this.#finish(SHORT_DRAIN_MS, 'halt', { exitCode: error.exitCode, error })
  }

  async #stop(): Promise<void> {
    if (isOver(this.#phase)) return
    const { logger, drainTimeoutMs } = this.#options
    this.#dispatch('stop')
    if (isOver(this.#phase)) {
      this.#stopped.resolve({ exitCode: EXIT.stopped })
      return
    }
    logger.info({ pending: this.#window.facts }, 'stopping: draining what was received')
    // Read on to the Commit of the open transaction: half of it now and all of it again later would be duplicates.
    if (this.#ledger?.isOpen) this.#stopAtCommit = true
    else this.#intakeStopped = true
    await this.#finish(drainTimeoutMs, 'closed', { exitCode: EXIT.stopped })
  }

  async #finish(drainMs: number, event: 'closed' | 'halt', outcome: RelayOutcome): Promise<void> {
    const drained = await this.#whenDrained(drainMs)
    this.#intakeStopped = true
    if (!drained) {
      const pending = this.#ledger?.pendingFacts ?? 0
      this.#options.logger.warn({ pending }, 'not all facts were durable in time; they stay in the slot and come again')
    }
    this.#abort.abort(new Error('the relay is stopping'))
    await this.#session?.close(PROOF_MS)
    this.#dispatch(event)
    this.#starting?.reject(outcome.error ?? new Error('the relay was stopped before it started'))
    this.#stopped.resolve(outcome)
    if (!outcome.error) this.#options.logger.info({}, 'stopped')
  }

  async #run(): Promise<void> {
    const { source, logger, observer, slot } = this.#options
    for (let attempt = 1; !this.#abort.signal.aborted; attempt++) {
      const openedMs = performance.now()
      let error: unknown
      try {
        const session = await source.open(this.#events(), this.#abort.signal)
        error = await session.whenClosed
        // It worked for a while: a new outage, not the same one.
        if (performance.now() - openedMs > 5_000) attempt = 1
      } catch (failure) {
        error = failure
      }
      this.#lose()
      if (this.#abort.signal.aborted || this.#halted || this.#phase === 'draining') return
      if (error instanceof RelayHaltError) return this.halt(error)
      const standby = error instanceof SlotInUseError
      const before = this.#phase
      this.#dispatch(standby ? 'slotInUse' : 'lost')
      if (standby) this.#starting?.resolve()
      const decision = decideSourceFault(error, attempt)
      if (!standby) {
        this.#lastError = error
        observer.replicationError(slot, decision.type)
        logger.warn(
          { slot, type: decision.type, retryInMs: Math.round(decision.delayMs) },
          `${decision.hint}: ${describe(error)}`,
        )
      } else if (before !== 'standby') {
        logger.info({ slot }, 'another relay holds the slot; standing by')
      }
      await this.#pause(decision.delayMs)
    }
  }

  #events(): SourceEvents {
    let current: SourceSession | undefined
    const { logger, slot } = this.#options
    return {
      onStart: (session) => {
        current = session
        this.#session = session
        this.#ledger = new Ledger(session.startLsn)
        this.#flushedLsn = session.startLsn
        this.#lastError = undefined
        if (this.#window.isFull) session.pause()
        this.#dispatch('streaming')
        logger.info({ slot, startLsn: formatLsn(session.startLsn) }, 'streaming')
        this.#starting?.resolve()
      },
      onBegin: (commitTimeMicros) => {
        if (this.#intakeStopped) return
        this.#commitTimeMicros = commitTimeMicros
        this.#ledger?.begin()
      },
      onMessage: (transactional, messageLsn, prefix, content) => {
        if (!this.#intakeStopped) this.#onMessage(transactional, messageLsn, prefix, content)
      },
      onCommit: (endLsn) => {
        if (this.#intakeStopped) return
        this.#ledger?.commit(endLsn)
        current?.confirm((this.#ledger as Ledger).confirmableLsn)
        if (this.#stopAtCommit) {
          this.#intakeStopped = true
          this.#checkDrained()
        }
      },
      onKeepalive: (walEnd) => {
        if (!this.#intakeStopped && this.#ledger?.keepalive(walEnd)) current?.confirm(walEnd)
      },
      onStatusSent: (confirmedLsn) => {
        this.#flushedLsn = confirmedLsn
        if (this.#flushWaiters.length === 0) return
        const waiting = this.#flushWaiters
        this.#flushWaiters = waiting.filter((waiter) => waiter.lsn > confirmedLsn)
        for (const waiter of waiting) if (waiter.lsn <= confirmedLsn) waiter.resolve()
      },
      onServerStopping: () => void this.#yieldToServer(current),
    }
  }

  #onMessage(transactional: boolean, messageLsn: Lsn, prefix: string, content: Buffer): void {
    const ledger = this.#ledger as Ledger
    if (!this.#options.accepts(prefix)) {
      if (!transactional) ledger.skipAlone(messageLsn)
      return
    }
    try {
      const entry = this.#options.interpret({
        systemId: (this.#session as SourceSession).systemId,
        register: () => (transactional ? ledger.add() : ledger.addAlone(messageLsn)),
        transactional,
        messageLsn,
        prefix,
        content,
        commitTimeMicros: transactional ? this.#commitTimeMicros : undefined,
        receivedAtMs: performance.now(),
      })
      if (entry === undefined) {
        if (!transactional) ledger.skipAlone(messageLsn)
        return
      }
      this.#options.observer.consumed(entry.aggregateType, entry.eventType)
      this.#window.add(entry.bytes)
      this.#options.destination.push(entry)
    } catch (error) {
      if (!(error instanceof RelayHaltError)) throw error
      this.halt(error)
    }
  }

  /** The server waits for us before it ends: it gets what can be had in a short time, then its socket back. */
  async #yieldToServer(session: SourceSession | undefined): Promise<void> {
    if (!session || session !== this.#session || this.#intakeStopped) return
    this.#options.logger.warn({ pending: this.#window.facts }, 'PostgreSQL is stopping: draining and letting go')
    this.#intakeStopped = true
    await this.#whenDrained(SHORT_DRAIN_MS)
    await session.close(PROOF_MS)
  }

  /** The connection is gone. Batches in flight settle on their own; their old ledger moves nothing. */
  #lose(): void {
    this.#session = undefined
    this.#ledger = undefined
    this.#options.destination.dropUnsent()
    if (this.#phase !== 'draining' && !this.#halted) {
      this.#intakeStopped = false
      this.#stopAtCommit = false
    }
    this.#checkDrained()
  }

  #dispatch(event: LifecycleEvent): void {
    this.#phase = nextPhase(this.#phase, event)
  }

  #isDrained(): boolean {
    if (!this.#ledger) return true
    return this.#ledger.pendingFacts === 0 && (this.#intakeStopped || !this.#ledger.isOpen)
  }

  #checkDrained(): void {
    if (this.#drainWaiters.length === 0 || !this.#isDrained()) return
    const waiters = this.#drainWaiters
    this.#drainWaiters = []
    for (const resolve of waiters) resolve()
  }

  async #whenDrained(limitMs: number): Promise<boolean> {
    if (this.#isDrained()) return true
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, limitMs)
      this.#drainWaiters.push(resolve)
    })
    clearTimeout(timer)
    return this.#isDrained()
  }

  #pause(ms: number): Promise<void> {
    const { signal } = this.#abort
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms)
      function done() {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      signal.addEventListener('abort', done, { once: true })
      if (signal.aborted) done()
    })
  }
}

interface PromiseWithResolversLike<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
  readonly reject: (error: unknown) => void
}

/** Promise.withResolvers() came with Node 22. */
function withResolvers<T>(): PromiseWithResolversLike<T> {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

function describe(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return describe(error.errors[0])
  return error instanceof Error ? error.message || error.name : String(error)
}
