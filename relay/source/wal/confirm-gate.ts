import { type Lsn, ZERO_LSN } from '../../lsn.ts'

/**
 * Between the ledger and the status frames: remembers a position before it is confirmed.
 *
 * - What is at or below the remembered position passes at once.
 * - The end of facts is written down, at most once a second, and passes then.
 * - Idle progress (the server's `walEnd`) is written down only when it is 64 KiB ahead: the note itself moves the WAL, and
 *   an idle relay must not write for ever because it wrote.
 *
 * Without a place to remember, everything passes.
 */
export class ConfirmGate {
  static readonly gapMs = 1_000
  static readonly idleStepBytes = 65_536n

  #write: ((lsn: Lsn) => Promise<void>) | undefined
  readonly #release: (lsn: Lsn) => void
  readonly #onFailure: (error: unknown) => 'retry' | 'forgo'
  #rememberedLsn: Lsn
  #wantedLsn: Lsn = ZERO_LSN
  #due = false
  #lastWriteMs = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined
  #closed = false

  constructor(options: {
    /** Undefined: there is nowhere to remember. */
    readonly write: ((lsn: Lsn) => Promise<void>) | undefined
    readonly rememberedLsn: Lsn
    /** The position may be confirmed now. */
    readonly release: (lsn: Lsn) => void
    /** `retry`: hold the position and write again. `forgo`: there is nowhere to remember any more; everything passes. */
    readonly onFailure: (error: unknown) => 'retry' | 'forgo'
  }) {
    this.#write = options.write
    this.#rememberedLsn = options.rememberedLsn
    this.#release = options.release
    this.#onFailure = options.onFailure
  }

  confirm(lsn: Lsn, hasFacts: boolean): void {
    if (!this.#write || lsn <= this.#rememberedLsn) {
      this.#release(lsn)
      return
    }
    if (lsn > this.#wantedLsn) this.#wantedLsn = lsn
    if (hasFacts || lsn - this.#rememberedLsn >= ConfirmGate.idleStepBytes) this.#due = true
    if (this.#due) this.#schedule()
  }

  /** Writes what is due at once, for a connection that is about to be closed in good order. */
  async flush(): Promise<void> {
    await this.#writing
    if (this.#due && !this.#closed) await this.#remember()
  }

  /** There is nowhere to remember any more: everything passes, also what was held. */
  forgo(): void {
    this.#write = undefined
    if (!this.#closed && this.#wantedLsn > ZERO_LSN) this.#release(this.#wantedLsn)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#writing || this.#closed) return
    const waitMs = this.#lastWriteMs + ConfirmGate.gapMs - performance.now()
    if (waitMs <= 0) void this.#remember()
    else
      this.#timer = setTimeout(() => {
        this.#timer = undefined
        void this.#remember()
      }, waitMs)
  }

  #remember(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#writing ??= this.#writeOnce().finally(() => {
      this.#writing = undefined
      if (this.#due) this.#schedule()
    })
    return this.#writing
  }

  async #writeOnce(): Promise<void> {
    const lsn = this.#wantedLsn
    this.#lastWriteMs = performance.now()
    this.#due = false
    try {
      await this.#write?.(lsn)
    } catch (error) {
      if (this.#closed) return
      if (this.#onFailure(error) === 'forgo') this.forgo()
      else this.#due = true
      return
    }
    this.#rememberedLsn = lsn
    if (!this.#closed) this.#release(lsn)
  }
}
