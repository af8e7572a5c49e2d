import { ConfirmationWatch } from './confirmation-watch.ts'
import { createDeferred, type Deferred, delayUnlessAborted } from './deferred.ts'
import type { Entry } from './entry.ts'
import { RelayHaltError, SlotInUseError } from './errors.ts'
import { Intake, type IntakeOptions } from './intake.ts'
import { isOver, type LifecycleEvent, nextPhase, type Phase } from './lifecycle.ts'
import { formatLsn, type Lsn } from './lsn.ts'
import { decideSourceFault, EXIT } from './policy.ts'
import { PositionWatch } from './position-watch.ts'
import type { Source, SourceSession, SourceVitals } from './source/source.ts'
import { StallGuard } from './stall-guard.ts'
import type { RelayLogger, RelayObserver, RelayOutcome } from './types.ts'
import { Window } from './window.ts'

// From the slot to a destination and back to the slot: the half of the relay that knows no Kafka.
//
//   Source ──events──▶ Intake (ledger: what was received) ──entries──▶ Destination
//     ▲                   │ ◀── settle ── done(entries) ──────────────────┘
//     └── confirm ────────┘
//
// It runs the lifecycle: connect, stand by, reconnect, drain, halt. One Intake and one ledger for each connection.

/** How long to drain before the connection goes because the server stops, or the relay halts. */
const SHORT_DRAIN_MS = 5_000
/** How long the server may take to prove that it has the last position. */
const PROOF_MS = 2_000
/** A connection that lived this long was not part of the outage before it. */
const HEALTHY_MS = 5_000
const WATCH_MS = 1_000

/** What health and metrics ask. */
export interface ReaderStats {
  readonly pendingFacts: number
  readonly pendingBytes: number
  /** Microseconds since 1970; undefined: nothing waits, or it is not known. */
  readonly oldestCommitMicros: bigint | undefined
  readonly unconfirmedSeconds: number
  /** Undefined: no stream. */
  readonly vitals: SourceVitals | undefined
}

export interface SlotReaderOptions extends Pick<IntakeOptions, 'destination' | 'observer' | 'accepts' | 'interpret'> {
  readonly source: Source
  readonly slot: string
  readonly windowFacts: number
  readonly windowBytes: number
  /** Milliseconds that `stop` waits for what was received to become durable. */
  readonly drainTimeoutMs: number
  readonly logger: RelayLogger
  readonly observer: RelayObserver
}

export class SlotReader {
  readonly #options: SlotReaderOptions
  readonly #window: Window
  readonly #abort = new AbortController()
  readonly #started = createDeferred<void>()
  readonly #stopped = createDeferred<RelayOutcome>()
  #phase: Phase = 'idle'
  #intake: Intake | undefined
  #lastError: unknown
  #halted: RelayHaltError | undefined
  #stopping: Promise<void> | undefined
  readonly #durable = new PositionWatch()
  readonly #confirmations = new ConfirmationWatch()
  #watchTimer: NodeJS.Timeout | undefined
  /** Resolves when there is a session; undefined while there is one. */
  #noSession: Deferred<void> | undefined = createDeferred<void>()
  readonly #stallGuard = new StallGuard(() =>
    this.#intake?.session?.abandon(new Error('the slot went to another relay while this process stood still')),
  )

  constructor(options: SlotReaderOptions) {
    this.#options = options
    this.#window = new Window(
      { facts: options.windowFacts, bytes: options.windowBytes },
      { pause: () => this.#intake?.session?.pause(), resume: () => this.#intake?.session?.resume() },
    )
    this.#started.promise.catch(() => {}) // The caller may look only at whenStopped().
  }

  get phase(): Phase {
    return this.#phase
  }

  /** What keeps the relay from PostgreSQL, in words; undefined while streaming or on standby. */
  get trouble(): string | undefined {
    if (this.#phase === 'streaming' || this.#phase === 'standby') return undefined
    if (this.#phase === 'failed') return `halted: ${describe(this.#halted)}`
    if (this.#phase !== 'connecting') return this.#phase
    if (this.#lastError === undefined) return 'connecting to PostgreSQL'
    return `not connected to PostgreSQL: ${describe(this.#lastError)}`
  }

  /** Resolves when facts can come, or when it stands by; rejects when it halts or is stopped before that. */
  start(): Promise<void> {
    if (this.#phase === 'idle') {
      this.#dispatch('start')
      this.#watchTimer = setInterval(() => this.#watchConfirmations(), WATCH_MS).unref()
      void this.#run()
    }
    return this.#started.promise
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  /** Never rejects. */
  whenStopped(): Promise<RelayOutcome> {
    return this.#stopped.promise
  }

  /** Cheap. */
  stats(): ReaderStats {
    return {
      pendingFacts: this.#window.facts,
      pendingBytes: this.#window.bytes,
      oldestCommitMicros: this.#intake?.oldestCommitMicros,
      unconfirmedSeconds: this.#confirmations.ageSeconds(performance.now()),
      vitals: this.#intake?.session?.vitals,
    }
  }

  /** Resolves when every fact before this position is durable; rejects when the relay ends before. */
  whenFlushed(lsn: Lsn): Promise<void> {
    return this.#durable.whenReached(lsn)
  }

  /** Whether this relay holds the slot as far as it can know: only then may anything be produced. */
  get mayProduce(): boolean {
    return this.#noSession === undefined && this.#stallGuard.isFresh
  }

  /** Resolves when producing may go on, or when the relay stops. */
  async whenMayProduce(): Promise<void> {
    while (!this.mayProduce && !this.#abort.signal.aborted)
      await (this.#noSession ? this.#noSession.promise : this.#stallGuard.whenFresh())
  }

  /** The destination says: durable. */
  done(entries: readonly Entry[]): void {
    this.#intake?.settle(entries)
    this.dropped(entries)
  }

  /** The destination says: forgotten, as it was told. */
  dropped(entries: readonly Entry[]): void {
    let bytes = 0
    for (const entry of entries) bytes += entry.bytes
    this.#window.remove(entries.length, bytes)
  }

  /** The destination says: these stand for that one now. */
  replaced(entry: Entry, by: readonly Entry[]): void {
    for (const each of by) this.#window.add(each.bytes)
    this.dropped([entry])
  }

  /** The destination says: let go of the slot, and come back later or stand by. */
  yieldSlot(error: Error): void {
    this.#intake?.session?.abandon(error)
  }

  /** The destination says: nothing but an operator can help. */
  halt(error: RelayHaltError): void {
    this.#halt(error)
  }

  async #stop(): Promise<void> {
    if (isOver(this.#phase)) return
    // It is on its way out, with a reason and an exit code of its own.
    if (this.#halted) return void (await this.whenStopped())
    this.#dispatch('stop')
    // Never started: there is nothing to finish.
    if (isOver(this.#phase)) return this.#end({ exitCode: EXIT.stopped })
    this.#options.logger.info({ pending: this.#window.facts }, 'stopping: draining what was received')
    this.#intake?.stopAtCommit()
    await this.#finish(this.#options.drainTimeoutMs, 'closed', { exitCode: EXIT.stopped })
  }

  /** Stops before what cannot be handled; what was received before is still delivered and confirmed. */
  #halt(error: RelayHaltError): void {
    if (this.#halted || isOver(this.#phase)) return
    this.#halted = error
    this.#options.logger.error({ code: error.code, exitCode: error.exitCode }, error.message)
    this.#intake?.stop()
    void this.#finish(SHORT_DRAIN_MS, 'halt', { exitCode: error.exitCode, error })
  }

  async #finish(drainMs: number, event: 'closed' | 'halt', outcome: RelayOutcome): Promise<void> {
    const intake = this.#intake
    if (intake && !(await intake.whenDrained(drainMs)))
      this.#options.logger.warn(
        { pending: intake.pendingFacts },
        'not all facts were durable in time; they stay in the slot and come again',
      )
    intake?.stop()
    this.#abort.abort(new Error('the relay is stopping'))
    this.#noSession?.resolve()
    this.#stallGuard.stop()
    await intake?.session?.close(PROOF_MS)
    if (isOver(this.#phase)) return
    this.#dispatch(event)
    this.#end(outcome)
    if (!outcome.error) this.#options.logger.info({ exitCode: outcome.exitCode }, 'stopped')
  }

  /** Says it when facts stay unconfirmed. A lost connection does not make them younger; another relay's they are not ours. */
  #watchConfirmations(): void {
    const { confirmation, session } = this.#intake ?? {}
    if (this.#phase === 'standby') this.#confirmations.clear()
    if (!confirmation || !session) return
    const { reportedLsn } = session.vitals
    const warning = this.#confirmations.sample(performance.now(), { ...confirmation, reportedLsn })
    const fields = { slot: this.#options.slot, pending: this.#window.facts, windowIsFull: this.#window.isFull }
    if (warning !== undefined) this.#options.logger.warn(fields, warning)
  }

  /** Tells whoever waits. */
  #end(outcome: RelayOutcome): void {
    clearInterval(this.#watchTimer)
    this.#started.reject(outcome.error ?? new Error('the relay was stopped before it started'))
    this.#durable.end(outcome.error ?? new Error('the relay was stopped'))
    this.#stopped.resolve(outcome)
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort
    for (let attempt = 1; !signal.aborted; attempt++) {
      const openedMs = performance.now()
      const error = await this.#connection()
      this.#intake?.abandon()
      this.#intake = undefined
      this.#noSession ??= createDeferred<void>()
      if (signal.aborted) this.#noSession.resolve()
      this.#stallGuard.stop()
      // Batches in flight settle on their own: their outcome must be known before what follows them.
      this.#options.destination.dropUnsent()
      if (signal.aborted || this.#halted || this.#phase === 'draining') return
      if (error instanceof RelayHaltError) return this.#halt(error)
      if (performance.now() - openedMs > HEALTHY_MS) attempt = 1
      await delayUnlessAborted(this.#onLost(error, attempt), signal)
    }
  }

  /** One connection, from opening it to its end; resolves to why it ended. */
  async #connection(): Promise<unknown> {
    const { source, window, ...rest } = { ...this.#options, window: this.#window }
    const intake: Intake = new Intake({
      ...rest,
      window,
      onStarted: (session) => this.#onStarted(intake, session),
      onHalt: (error) => this.#halt(error),
      onServerStopping: () => void this.#yieldToServer(intake),
      onDurable: (lsn) => this.#durable.reached(lsn),
    })
    try {
      const session = await source.open(intake, this.#abort.signal)
      return (await session.whenClosed) ?? new Error('PostgreSQL is stopping')
    } catch (error) {
      return error
    }
  }

  #onStarted(intake: Intake, session: SourceSession): void {
    const { logger, slot } = this.#options
    this.#intake = intake
    this.#lastError = undefined
    this.#durable.reached(session.startLsn)
    this.#stallGuard.watch(session.serverPatienceMs * 0.4, () => session.holdsSlot())
    this.#noSession?.resolve()
    this.#noSession = undefined
    this.#dispatch('streaming')
    this.#options.destination.started?.(session)
    this.#started.resolve()
    logger.info({ slot, startLsn: formatLsn(session.startLsn) }, 'streaming')
  }

  /** Says what happened and returns how long to wait, milliseconds. */
  #onLost(error: unknown, attempt: number): number {
    const { slot, logger, observer } = this.#options
    const decision = decideSourceFault(error, attempt, { wasStreaming: this.#phase === 'streaming' })
    if (error instanceof SlotInUseError) {
      if (this.#phase !== 'standby') logger.info({ slot }, 'another relay holds the slot; standing by')
      this.#dispatch('slotInUse')
      this.#started.resolve()
      return decision.delayMs
    }
    this.#lastError = error
    this.#dispatch('lost')
    observer.replicationError(slot, decision.type)
    const fields = { slot, type: decision.type, retryInMs: Math.round(decision.delayMs) }
    logger.warn(fields, `${decision.hint}: ${describe(error)}`)
    return decision.delayMs
  }

  /** The server waits for us before it ends: it gets what can be had in a short time, then its socket back. */
  async #yieldToServer(intake: Intake): Promise<void> {
    this.#options.logger.warn({ pending: intake.pendingFacts }, 'PostgreSQL is stopping: draining and letting go')
    intake.stop()
    await intake.whenDrained(SHORT_DRAIN_MS)
    await intake.session?.close(PROOF_MS)
  }

  #dispatch(event: LifecycleEvent): void {
    this.#phase = nextPhase(this.#phase, event)
  }
}

function describe(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return describe(error.errors[0])
  return error instanceof Error ? error.message || error.name : String(error)
}
