import { formatLsn, type Lsn } from './lsn.ts'

/** What the watch looks at, now. */
export interface ConfirmationSample {
  /** The end of the last unit that had facts. */
  readonly lastFactEndLsn: Lsn
  /** What the last status frame said. */
  readonly reportedLsn: Lsn
  /** Everything before it is durable in Kafka. */
  readonly durableLsn: Lsn
  /** Facts received and not durable. */
  readonly pendingFacts: number
}

/** Facts that PostgreSQL was not told of for this long are said, milliseconds. */
const WARN_MS = 15_000
const SAY_AGAIN_MS = 60_000

/**
 * Since when the oldest fact has been waiting to be confirmed to PostgreSQL. It samples: nothing is paid per fact, and an
 * age is up to one sample too young, never too old by more than the time that one confirmation takes. Pure: it is told the time.
 */
export class ConfirmationWatch {
  #sinceMs: number | undefined
  /** Clears when this is reported; undefined: the transaction that holds it is still open. */
  #untilLsn: Lsn | undefined
  #saidMs = Number.NEGATIVE_INFINITY

  /** Seconds that the oldest unconfirmed fact has waited; 0: none does. */
  ageSeconds(nowMs: number): number {
    return this.#sinceMs === undefined ? 0 : Math.max(0, nowMs - this.#sinceMs) / 1_000
  }

  /** A look; returns the warning that is due, in words. */
  sample(nowMs: number, now: ConfirmationSample): string | undefined {
    const { lastFactEndLsn, reportedLsn, pendingFacts } = now
    const open = lastFactEndLsn > reportedLsn
    if (this.#untilLsn === undefined ? pendingFacts === 0 && !open : reportedLsn >= this.#untilLsn) this.clear()
    if (this.#sinceMs === undefined && (open || pendingFacts > 0)) this.#sinceMs = nowMs
    if (this.#sinceMs === undefined) return undefined
    if (this.#untilLsn === undefined && open) this.#untilLsn = lastFactEndLsn
    if (nowMs - this.#sinceMs < WARN_MS || nowMs - this.#saidMs < SAY_AGAIN_MS) return undefined
    this.#saidMs = nowMs
    const seconds = Math.round(this.ageSeconds(nowMs))
    return now.durableLsn >= (this.#untilLsn ?? nowhere)
      ? `facts are durable in Kafka up to ${formatLsn(now.durableLsn)}, but for ${seconds} s PostgreSQL was told nothing beyond ${formatLsn(reportedLsn)}: it keeps WAL for them`
      : pendingFacts === 1
        ? `1 fact waits for Kafka for ${seconds} s; PostgreSQL keeps WAL for it`
        : `${pendingFacts} facts wait for Kafka, the oldest for ${seconds} s; PostgreSQL keeps WAL for them`
  }

  /** Nothing of ours waits: another relay has the slot, say. */
  clear(): void {
    this.#sinceMs = undefined
    this.#untilLsn = undefined
  }
}

const nowhere = 0xffffffffffffffffn as Lsn
