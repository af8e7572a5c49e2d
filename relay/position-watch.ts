import { createDeferred, type Deferred } from './deferred.ts'
import { type Lsn, ZERO_LSN } from './lsn.ts'

/** Lets callers wait until a position was reached; the relay's way to wait for a signal instead of for time. */
export class PositionWatch {
  #reachedLsn: Lsn = ZERO_LSN
  #waiting: { readonly lsn: Lsn; readonly deferred: Deferred<void> }[] = []
  /** The lowest that somebody waits for; 0/0: nobody does. */
  #nextLsn: Lsn = ZERO_LSN
  #ended: Error | undefined

  reached(lsn: Lsn): void {
    this.#reachedLsn = lsn
    // Called for each commit: nothing is looked through before somebody's turn has come.
    if (lsn < this.#nextLsn || this.#waiting.length === 0) return
    const before = this.#waiting
    this.#waiting = before.filter((waiter) => waiter.lsn > lsn)
    this.#nextLsn = ZERO_LSN
    for (const { lsn: wanted } of this.#waiting) this.#expect(wanted)
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
    this.#expect(lsn)
    return deferred.promise
  }

  #expect(lsn: Lsn): void {
    if (this.#nextLsn === ZERO_LSN || lsn < this.#nextLsn) this.#nextLsn = lsn
  }
}
