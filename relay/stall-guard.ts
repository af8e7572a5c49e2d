const TICK_MS = 200

/** Times as this process sees them; both, because one stands still while the machine sleeps and the other can jump. */
export interface StallClock {
  monotonicMs(): number
  wallMs(): number
}

const systemClock: StallClock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() }

/**
 * Notices that this process stood still (SIGSTOP, a suspended machine, a loop that blocked): the server may have given the
 * slot to another relay meanwhile, so nothing may be produced before it was asked. A zombie must not produce late.
 */
export class StallGuard {
  readonly #clock: StallClock
  #limitMs = Number.POSITIVE_INFINITY
  #verify: (() => Promise<boolean>) | undefined
  #tickMs = { monotonic: 0, wall: 0 }
  #timer: NodeJS.Timeout | undefined
  #checking: Promise<void> | undefined
  readonly #onLost: () => void

  /** @param onLost the server says that the slot is not ours any more. */
  constructor(onLost: () => void, clock: StallClock = systemClock) {
    this.#onLost = onLost
    this.#clock = clock
  }

  /** Watches for stalls longer than `limitMs`; after one, `verify` must say true before `isFresh` does. */
  watch(limitMs: number, verify: () => Promise<boolean>): void {
    this.#limitMs = limitMs
    this.#verify = verify
    this.#tick()
    this.#timer ??= setInterval(() => {
      if (this.#stalled()) void this.whenFresh()
      else this.#tick()
    }, TICK_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#verify = undefined
    this.#limitMs = Number.POSITIVE_INFINITY
  }

  /** Cheap: asked before every request. */
  get isFresh(): boolean {
    return !this.#stalled()
  }

  /** Resolves when the slot was found to be ours, or when `onLost` was called. */
  whenFresh(): Promise<void> {
    if (this.isFresh) return Promise.resolve()
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined
    })
    return this.#checking
  }

  async #check(): Promise<void> {
    let ours = false
    try {
      ours = (await this.#verify?.()) ?? true
    } catch {
      // Cannot be asked: the connection is gone in all likelihood, and so may be the slot.
    }
    this.#tick()
    if (!ours) this.#onLost()
  }

  #stalled(): boolean {
    return (
      this.#clock.monotonicMs() - this.#tickMs.monotonic > this.#limitMs ||
      this.#clock.wallMs() - this.#tickMs.wall > this.#limitMs
    )
  }

  #tick(): void {
    this.#tickMs = { monotonic: this.#clock.monotonicMs(), wall: this.#clock.wallMs() }
  }
}
