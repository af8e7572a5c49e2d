import type { ClientConfig } from 'pg'
import type { RelayHaltError } from '../../errors.ts'
import { formatLsn, type Lsn } from '../../lsn.ts'
import type { RelayLogger } from '../../types.ts'
import type { SlotVitals } from '../source.ts'
import { ConfirmGate } from './confirm-gate.ts'
import { ControlConnection } from './control.ts'
import { forecastBudget, inspectSlot, judgeSlot, type SlotInspection } from './guardian.ts'
import { Heartbeat, type HeartbeatState } from './heartbeat.ts'
import type { PreparedSlot } from './slot.ts'
import { type RememberedSlot, SlotMemory } from './slot-memory.ts'

// What stands beside the stream: the control connection, the slot's memory, the gate that remembers before it confirms,
// the guardian's look every 10 s, and the heartbeat.

const WATCH_MS = 10_000
/** No right to write, a read-only server, no such table: trying again does not help. */
const CANNOT_REMEMBER = /^(42501|25006|42P01|3F000)$/
/** A finding that lasts is said again this often. */
const SAY_AGAIN_MS = 600_000

export interface SlotKeeperOptions {
  readonly target: ClientConfig
  readonly slot: string
  readonly publication: string
  /** 0: no heartbeat. */
  readonly heartbeatMs: number
  readonly logger: RelayLogger
  /** The position may be confirmed now. */
  readonly release: (lsn: Lsn) => void
  readonly onServerStopping: () => void
  readonly onHalt: (error: RelayHaltError) => void
}

export class SlotKeeper {
  readonly #options: SlotKeeperOptions
  readonly #control: ControlConnection
  #memory: SlotMemory | undefined
  #gate: ConfirmGate | undefined
  #watchTimer: NodeJS.Timeout | undefined
  #before: SlotInspection | undefined
  #vitals: SlotVitals | undefined
  #heartbeat: Heartbeat | undefined
  readonly #said = new Map<string, number>()
  #closed = false

  constructor(options: SlotKeeperOptions) {
    this.#options = options
    this.#control = new ControlConnection(options.target, options.onServerStopping)
    this.#memory = new SlotMemory(this.#control, options.slot)
  }

  /** What was remembered; undefined also where there is no place for it, which is said. */
  async recall(): Promise<RememberedSlot | undefined> {
    try {
      return await this.#memory?.read()
    } catch (error) {
      // Anything else is an outage: better try again than go on without having looked.
      if (!CANNOT_REMEMBER.test(String((error as { code?: unknown }).code))) throw error
      this.#forgo(error)
      return undefined
    }
  }

  /** The slot is ours: from now on nobody can move it unnoticed. Looks at it now and every 10 s. */
  adopt(prepared: PreparedSlot): void {
    const { systemId, timeline, startLsn, remembered, acceptedGap } = prepared
    const write = (confirmedLsn: Lsn, force?: boolean) =>
      (this.#memory as SlotMemory).write({ systemId, timeline, confirmedLsn }, force)
    const known = !acceptedGap && remembered?.confirmedLsn !== undefined && remembered.timeline === timeline
    if (this.#memory && !known)
      write(startLsn, acceptedGap).catch((error) => {
        if (this.#onWriteFailed(error) === 'forgo') this.#gate?.forgo()
      })
    this.#gate = new ConfirmGate({
      write: this.#memory ? write : undefined,
      rememberedLsn: known ? (remembered.confirmedLsn as Lsn) : startLsn,
      release: this.#options.release,
      onFailure: (error) => this.#onWriteFailed(error),
    })
    void this.#look()
    this.#startHeartbeat()
  }

  /** Undefined: none is written here. */
  get heartbeat(): HeartbeatState | undefined {
    return this.#heartbeat?.state
  }

  heartbeatReturned(content: Buffer): void {
    this.#heartbeat?.returned(content)
  }

  get vitals(): SlotVitals | undefined {
    return this.#vitals
  }

  confirm(lsn: Lsn, hasFacts: boolean): void {
    this.#gate?.confirm(lsn, hasFacts)
  }

  /** Remembers and releases what is due, now. */
  async flush(): Promise<void> {
    await this.#gate?.flush()
  }

  /** The backend that streams from the slot; undefined when none does. */
  async holderPid(): Promise<number | undefined> {
    const [row] = (
      await this.#control.query('SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1', [
        this.#options.slot,
      ])
    ).rows as { active_pid: number | null }[]
    return row?.active_pid ?? undefined
  }

  /** Whether the slot has this position; true where it cannot be asked. */
  async slotConfirms(lsn: Lsn): Promise<boolean> {
    try {
      const [row] = (
        await this.#control.query(
          'SELECT confirmed_flush_lsn >= $2::pg_lsn AS there FROM pg_replication_slots WHERE slot_name = $1',
          [this.#options.slot, formatLsn(lsn)],
        )
      ).rows as { there: boolean | null }[]
      return row?.there ?? true
    } catch {
      return true
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#watchTimer)
    this.#gate?.close()
    this.#heartbeat?.close()
    await this.#control.close()
  }

  async #look(): Promise<void> {
    try {
      const now = await inspectSlot(this.#control, this.#options)
      if (this.#closed) return
      const { restartLagBytes, confirmedLagBytes, atMs } = now
      this.#vitals = {
        ...{ atMs, restartLagBytes, confirmedLagBytes },
        walBudgetBytes: now.slot?.safe_wal_size ?? undefined,
        walBudgetSeconds: forecastBudget(now, this.#before),
      }
      for (const finding of judgeSlot(this.#options, now, this.#before)) {
        if (finding.halt) return this.#options.onHalt(finding.halt)
        this.#say(finding.code, finding.message)
      }
      this.#before = now
    } catch (error) {
      if (!this.#closed) this.#say('guardian', `the slot could not be looked at: ${(error as Error).message}`)
    }
    if (!this.#closed) this.#watchTimer = setTimeout(() => void this.#look(), WATCH_MS).unref()
  }

  #startHeartbeat(): void {
    if (this.#options.heartbeatMs === 0 || this.#closed) return
    this.#heartbeat = new Heartbeat({
      client: this.#control,
      everyMs: this.#options.heartbeatMs,
      onUnable: (error) => {
        this.#heartbeat = undefined
        this.#say(
          'heartbeat',
          `no heartbeat can be written here (pg_logical_emit_message), so a slot that silently stops delivering is noticed later; HEARTBEAT_MS=0 turns it off: ${error.message}`,
        )
      },
    })
    this.#heartbeat.start()
  }

  #onWriteFailed(error: unknown): 'retry' | 'forgo' {
    if (CANNOT_REMEMBER.test(String((error as { code?: unknown }).code))) {
      this.#forgo(error)
      return 'forgo'
    }
    this.#say(
      'memory',
      `the slot's position could not be remembered, so it is not confirmed yet: ${(error as Error).message}`,
    )
    return 'retry'
  }

  #forgo(error: unknown): void {
    this.#memory = undefined
    this.#say(
      'memory',
      `the relay may not keep its memory of the slot (schema "factlib", table "relay_slots"): a slot that was moved or recreated by somebody else goes unnoticed. Grant CREATE on the database, or create the table: ${(error as Error).message}`,
    )
  }

  #say(code: string, message: string): void {
    const last = this.#said.get(code)
    if (last !== undefined && performance.now() - last < SAY_AGAIN_MS) return
    this.#said.set(code, performance.now())
    this.#options.logger.warn({ slot: this.#options.slot, code }, message)
  }
}
