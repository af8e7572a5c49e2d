import { createDeferred, type Deferred } from './deferred.ts'
import { type Lsn, ZERO_LSN } from './lsn.ts'

/** Lets callers wait until a position was reached; the relay's way to wait for a signal instead of for time. */
export class PositionWatch {
  #reachedLsn: Lsn = ZERO_LSN
  #waiting: { readonly lsn: Lsn; readonly deferred: Deferred<void> }[] = []
  #ended: Error | undefined

  reached(lsn: Lsn): void {
    this.#reachedLsn = lsn
    if (this.#waiting.length === 0) return
    const before = this.#waiting
    this.#waiting = before.filter((waiter) => waiter.lsn > lsn)
    for (const waiter of before) if (waiter.lsn <= lsn) waiter.deferred.resolve()
  }

  /** Nothing more will be reached: who still waits is told. */
  end(error: Error): void {
    this.#ended = error
    for (const waiter of this.#waiting) waiter.deferred.reject(error)
    this.#waiting = []
  }

  whenReached(lsn: Lsn): Promise<void> {
    if (this.#reachedLsn >= lsn) return Promise.resolve()
    if (this.#ended) return Promise.reject(this.#ended)
    const deferred = createDeferred<void>()
    this.#waiting.push({ lsn, deferred })
    return deferred.promise
  }
}
