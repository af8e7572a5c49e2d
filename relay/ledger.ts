import { formatLsn, type Lsn } from './lsn.ts'

/**
 * One unit of the slot's stream: a transaction (Begin to Commit), or one non-transactional message. Its facts become
 * durable in any order; the unit is done when it is closed and none is pending.
 */
export interface LedgerUnit {
  readonly ledger: Ledger
  /** Facts received and not yet durable. */
  pending: number
  /** Where the unit ends in the WAL; undefined while it is open. */
  endLsn: Lsn | undefined
  /** Microseconds since 1970; undefined where it is not known. */
  readonly commitTimeMicros?: bigint | undefined
}

/** The stream contradicts what PostgreSQL promises; the relay halts and the slot keeps its position. */
export class LedgerViolation extends Error {
  override readonly name = 'LedgerViolation'
}

/**
 * What was received, what is durable, and therefore what may be confirmed to PostgreSQL.
 *
 * Units come one after another in commit order and their ends strictly increase, so one watermark is enough: the end of
 * the last unit of the contiguous done prefix. Never a position inside a transaction, never past a unit that has a
 * pending fact (invariant 5). Pure: no clock, no socket. One ledger a connection; a new connection starts a new one, and
 * settling a unit of an old ledger moves nothing of the new one.
 *
 * Memory: one object for each unit that has facts and waits; units without facts are folded into their neighbour.
 */
export class Ledger {
  /** Units not yet done, oldest first, from `#head`. */
  #units: LedgerUnit[] = []
  #head = 0
  #open: LedgerUnit | undefined
  #confirmableLsn: Lsn
  #lastEndLsn: Lsn
  #pendingFacts = 0

  /** @param startLsn the slot's `confirmed_flush_lsn` when the connection started. */
  constructor(startLsn: Lsn) {
    this.#confirmableLsn = startLsn
    this.#lastEndLsn = startLsn
  }

  /** Everything before this position is durable in Kafka. */
  get confirmableLsn(): Lsn {
    return this.#confirmableLsn
  }

  get pendingFacts(): number {
    return this.#pendingFacts
  }

  /** When the oldest unit that waits was committed; undefined: none waits, or it is not known. */
  get oldestCommitMicros(): bigint | undefined {
    return this.#units[this.#head]?.commitTimeMicros
  }

  /** A Begin was seen and its Commit was not. */
  get isOpen(): boolean {
    return this.#open !== undefined
  }

  /** Nothing is open and nothing waits: the server's `walEnd` may be confirmed. */
  get isIdle(): boolean {
    return this.#open === undefined && this.#head === this.#units.length
  }

  /** @param commitTimeMicros microseconds since 1970. */
  begin(commitTimeMicros?: bigint): void {
    if (this.#open) throw new LedgerViolation('Begin inside an open transaction')
    this.#open = { ledger: this, pending: 0, endLsn: undefined, commitTimeMicros }
  }

  /** Registers one fact of the open transaction. */
  add(): LedgerUnit {
    const unit = this.#open
    if (!unit) throw new LedgerViolation('transactional message outside a transaction')
    if (this.#units[this.#units.length - 1] !== unit) this.#units.push(unit)
    unit.pending++
    this.#pendingFacts++
    return unit
  }

  /**
   * Closes the open transaction.
   *
   * @param endLsn the Commit's `end_lsn`, exactly: one byte more would lose the next adjacent commit.
   * @returns whether it had facts.
   */
  commit(endLsn: Lsn): boolean {
    const unit = this.#open
    if (!unit) throw new LedgerViolation('Commit without Begin')
    this.#open = undefined
    const hadFacts = this.#units[this.#units.length - 1] === unit
    this.#close(unit, endLsn)
    return hadFacts
  }

  /** Registers a non-transactional fact: a unit of its own that ends at its own LSN. */
  addAlone(messageLsn: Lsn): LedgerUnit {
    if (this.#open) throw new LedgerViolation('non-transactional message inside a transaction')
    const unit: LedgerUnit = { ledger: this, pending: 1, endLsn: undefined, commitTimeMicros: undefined }
    this.#pendingFacts++
    this.#units.push(unit)
    this.#close(unit, messageLsn)
    return unit
  }

  /** Something that is not for us ended here (a foreign message); it needs nothing to be done. */
  skipAlone(messageLsn: Lsn): void {
    if (!this.#open)
      this.#close({ ledger: this, pending: 0, endLsn: undefined, commitTimeMicros: undefined }, messageLsn)
  }

  /** `count` facts of the unit are durable. Returns true when `confirmableLsn` moved. */
  settle(unit: LedgerUnit, count: number): boolean {
    if (unit.ledger !== this) return false
    if (count > unit.pending) throw new LedgerViolation(`${count} facts settled, ${unit.pending} were pending`)
    unit.pending -= count
    this.#pendingFacts -= count
    if (unit.pending > 0 || unit.endLsn === undefined) return false
    return this.#advance()
  }

  /** The server has sent everything up to `walEnd`. Moves only when idle; returns true when `confirmableLsn` moved. */
  keepalive(walEnd: Lsn): boolean {
    if (!this.isIdle || walEnd <= this.#confirmableLsn) return false
    this.#confirmableLsn = walEnd
    return true
  }

  #close(unit: LedgerUnit, endLsn: Lsn): void {
    if (endLsn <= this.#lastEndLsn)
      throw new LedgerViolation(`unit ends at ${formatLsn(endLsn)}, not after ${formatLsn(this.#lastEndLsn)}`)
    this.#lastEndLsn = endLsn
    unit.endLsn = endLsn
    if (unit.pending > 0) return
    if (this.#units[this.#units.length - 1] === unit) {
      // It had facts, all durable before its Commit came.
      this.#advance()
    } else if (this.#head === this.#units.length) {
      if (endLsn > this.#confirmableLsn) this.#confirmableLsn = endLsn
    } else {
      // No facts of its own: what its predecessor may confirm includes it.
      const last = this.#units[this.#units.length - 1] as LedgerUnit
      if (last.endLsn !== undefined && endLsn > last.endLsn) last.endLsn = endLsn
    }
  }

  #advance(): boolean {
    const before = this.#confirmableLsn
    let unit = this.#units[this.#head]
    while (unit !== undefined && unit.pending === 0 && unit.endLsn !== undefined) {
      if (unit.endLsn > this.#confirmableLsn) this.#confirmableLsn = unit.endLsn
      this.#head++
      unit = this.#units[this.#head]
    }
    // Amortised: the done half goes only when it is the larger one.
    if (this.#head > 64 && this.#head * 2 > this.#units.length) {
      this.#units = this.#units.slice(this.#head)
      this.#head = 0
    }
    return this.#confirmableLsn !== before
  }
}
