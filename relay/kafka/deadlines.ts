interface Open {
  readonly untilMs: number
  readonly giveUp: (late: undefined) => void
}

/** One limit for many promises: a timer for all of them, not one for each. */
export class Deadlines {
  readonly #limitMs: number
  /** In the order of their ends, as all have the same limit. */
  readonly #open = new Set<Open>()
  #timer: NodeJS.Timeout | undefined

  /** @param limitMs milliseconds. */
  constructor(limitMs: number) {
    this.#limitMs = limitMs
  }

  /** As the promise, or `undefined` when the limit passes first. */
  within<T>(promise: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const one: Open = { untilMs: performance.now() + this.#limitMs, giveUp: resolve }
      this.#open.add(one)
      if (this.#timer === undefined) this.#lookAfter(this.#limitMs)
      promise.then(
        (value) => {
          this.#open.delete(one)
          resolve(value)
        },
        (error) => {
          this.#open.delete(one)
          reject(error)
        },
      )
    })
  }

  /** It may stay when nothing is open any more, so it keeps no process. */
  #lookAfter(ms: number): void {
    this.#timer = setTimeout(() => this.#look(), ms).unref()
  }

  #look(): void {
    this.#timer = undefined
    const nowMs = performance.now()
    for (const one of this.#open) {
      if (one.untilMs > nowMs) {
        this.#lookAfter(one.untilMs - nowMs)
        return
      }
      this.#open.delete(one)
      one.giveUp(undefined)
    }
  }
}
