import { randomBytes } from 'node:crypto'
import { HEARTBEAT_PREFIX } from '../../../src/fact-rules.ts'
import type { QueryClient } from './slot-memory.ts'

// The way that a fact goes, tried: a non-transactional message is written over the control connection and has to come
// back through the slot.
//
//   control connection ─▶ WAL ─▶ slot ─▶ stream ─▶ Intake ─▶ returned()
//
// It is written when a connection starts, and then only where somebody else has written to the WAL since: a message for
// its own sake would keep an idle server's WAL moving for ever (and, with archive_timeout, archived).

/** What a server writes by itself while it idles: snapshots of running transactions, checkpoints. */
const QUIET_BYTES = 8_192

/** No right to the function (42501), read-only or a standby (25006, 55000, XX000), no such function (42883). */
const UNABLE = /^(42501|42883|25006|55000|0A000|XX000)$/

const WRITE = `SELECT CASE WHEN $1::pg_lsn IS NULL OR pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::pg_lsn) > $2
  THEN pg_logical_emit_message(false, $3::text, $4::bytea) END::text AS lsn`

export interface HeartbeatState {
  /** The last round trip, seconds; undefined: none came back yet. */
  readonly lastSeconds: number | undefined
  /** Since when the one that is under way has been, monotonic milliseconds; undefined: none is. */
  readonly sentAtMs: number | undefined
  /** Why none can be written, and since when; undefined: they can. */
  readonly failure: { readonly sinceMs: number; readonly message: string } | undefined
}

export class Heartbeat {
  readonly #client: QueryClient
  readonly #everyMs: number
  readonly #onUnable: (error: Error) => void
  readonly #nowMs: () => number
  /** Tells ours from those of other relays on the same database. */
  readonly #token = randomBytes(8).toString('hex')
  #count = 0
  #timer: NodeJS.Timeout | undefined
  /** The end of the last one in the WAL; undefined: none was written. */
  #lastLsn: string | undefined
  #sentAtMs: number | undefined
  #lastSeconds: number | undefined
  #failure: HeartbeatState['failure']
  #closed = false

  constructor(options: {
    readonly client: QueryClient
    readonly everyMs: number
    /** It can never be written here; it has stopped trying. */
    readonly onUnable: (error: Error) => void
    readonly nowMs?: () => number
  }) {
    this.#client = options.client
    this.#everyMs = options.everyMs
    this.#onUnable = options.onUnable
    this.#nowMs = options.nowMs ?? (() => performance.now())
  }

  get state(): HeartbeatState {
    return { lastSeconds: this.#lastSeconds, sentAtMs: this.#sentAtMs, failure: this.#failure }
  }

  start(): void {
    void this.#beat()
  }

  /** A heartbeat came through the slot, perhaps of another relay. */
  returned(content: Buffer): void {
    if (this.#sentAtMs === undefined || content.toString('latin1') !== this.#content()) return
    this.#lastSeconds = (this.#nowMs() - this.#sentAtMs) / 1_000
    this.#sentAtMs = undefined
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  async #beat(): Promise<void> {
    // One at a time: a second one behind a slow one would say nothing new.
    if (this.#sentAtMs === undefined) await this.#write()
    if (!this.#closed) this.#timer = setTimeout(() => void this.#beat(), this.#everyMs).unref()
  }

  async #write(): Promise<void> {
    this.#count++
    // Before it is written: it may be back before the answer is.
    this.#sentAtMs = this.#nowMs()
    const values = [this.#lastLsn ?? null, QUIET_BYTES, HEARTBEAT_PREFIX, Buffer.from(this.#content())]
    try {
      const [row] = (await this.#client.query(WRITE, values)).rows as [{ lsn: string | null }]
      if (row.lsn === null) this.#sentAtMs = undefined
      else this.#lastLsn = row.lsn
      this.#failure = undefined
    } catch (error) {
      this.#sentAtMs = undefined
      if (this.#closed) return
      const { code, message } = error as Error & { code?: unknown }
      if (UNABLE.test(String(code))) {
        this.close()
        this.#failure = undefined
        this.#onUnable(error as Error)
      } else this.#failure = { sinceMs: this.#failure?.sinceMs ?? this.#nowMs(), message }
    }
  }

  #content(): string {
    return `${this.#token}:${this.#count}`
  }
}
