import { MultiBar, type SingleBar } from 'cli-progress'
import { connectPostgres, type PostgresConnection } from '../doctor/postgres-connection.ts'
import type { RelayHealth, RelayObserver, RelaySettings, RelayStats } from '../types.ts'
import { type Backlog, backlogLine, humanLog, liveLine } from './live-line.ts'

/** What the line shows of the relay. */
export interface LiveRelay {
  readonly phase: string
  health(): RelayHealth
  /** PostgreSQL's own measure of its receiver stands still while nothing is confirmed; the relay's does not. */
  stats(): Pick<RelayStats, 'behindSeconds'>
}

export interface LiveView {
  /** Hears what passes, and hands it on. */
  observe(observer: RelayObserver): RelayObserver
  /** For the logger: lines go above the live one. */
  readonly logStream: { write(line: string): void }
  start(relay: LiveRelay): void
  /** Takes the live line away; what is logged later is written plainly. */
  stop(): void
}

const DRAW_MS = 500
/** How often PostgreSQL is asked for the lag. */
const ASK_MS = 1_000
/** A smaller backlog is worked off before anybody has seen the bar. */
const BACKLOG_BYTES_MIN = 1_048_576

/**
 * The live line of `run` on a terminal, and a bar with the time left while a backlog is worked off. It asks PostgreSQL for
 * the lag over a connection of its own; when that fails the line goes on without.
 */
export function createLiveView(
  settings: Pick<RelaySettings, 'database' | 'slot'>,
  stream: NodeJS.WriteStream = process.stdout,
): LiveView {
  const width = () => Math.max(20, (stream.columns ?? 80) - 1)
  let bars: MultiBar | undefined
  let line: SingleBar | undefined
  let bar: SingleBar | undefined
  let timers: NodeJS.Timeout[] = []
  let durable = 0
  let lastMs = performance.now()
  let lagBytes: number | undefined
  let backlog: (Backlog & { readonly startBytes: number; readonly beganMs: number }) | undefined
  const watch = new LagWatch(settings)

  function draw(relay: LiveRelay): void {
    const nowMs = performance.now()
    const factsPerSecond = Math.round((durable * 1_000) / Math.max(1, nowMs - lastMs))
    durable = 0
    lastMs = nowMs
    const { phase } = relay
    const lagSeconds = relay.stats().behindSeconds
    line?.update(0, {
      text: liveLine({ phase, health: relay.health(), factsPerSecond, lagBytes, lagSeconds }, width()),
    })
    if (backlog)
      bar?.update(0, { text: backlogLine({ ...backlog, seconds: (nowMs - backlog.beganMs) / 1_000 }, width()) })
  }

  function take(answer: LagAnswer): void {
    lagBytes = answer.lagBytes
    if (!backlog && answer.isFirst && answer.lagBytes > BACKLOG_BYTES_MIN) {
      backlog = {
        totalBytes: answer.lagBytes,
        doneBytes: 0,
        seconds: 0,
        startBytes: answer.confirmedBytes,
        beganMs: performance.now(),
      }
      bar = bars?.create(1, 0, { text: '' })
    }
    if (!backlog || !bar) return
    backlog = { ...backlog, doneBytes: answer.confirmedBytes - backlog.startBytes }
    if (backlog.doneBytes < backlog.totalBytes) return
    bars?.remove(bar)
    bar = undefined
    const seconds = Math.round((performance.now() - backlog.beganMs) / 1_000)
    bars?.log(`the backlog is worked off, in ${seconds} s\n`)
  }

  return {
    observe: (observer) => ({
      ...observer,
      handled(aggregateType, eventType, seconds) {
        durable++
        observer.handled(aggregateType, eventType, seconds)
      },
    }),
    logStream: {
      write(json) {
        if (bars) bars.log(`${humanLog(json)}\n`)
        else stream.write(`${humanLog(json)}\n`)
      },
    },
    start(relay) {
      // Neither cursor nor wrapping is changed: a kill leaves the terminal as it was.
      bars = new MultiBar({
        stream,
        format: (_options, _params, payload: { readonly text: string }) => payload.text,
        hideCursor: false,
        linewrap: true,
        clearOnComplete: true,
        gracefulExit: false,
        forceRedraw: true,
        fps: 1_000 / DRAW_MS,
      })
      line = bars.create(1, 0, { text: '' })
      const ask = async () => {
        const answer = await watch.ask()
        if (answer) take(answer)
      }
      timers = [setInterval(() => draw(relay), DRAW_MS).unref(), setInterval(() => void ask(), ASK_MS).unref()]
      void ask()
    },
    stop() {
      for (const timer of timers) clearInterval(timer)
      bars?.stop()
      bars = undefined
      watch.close()
    },
  }
}

interface LagAnswer {
  readonly isFirst: boolean
  readonly lagBytes: number
  readonly confirmedBytes: number
}

const QUERY = `
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)::float8 AS lag,
  pg_wal_lsn_diff(s.confirmed_flush_lsn, '0/0')::float8 AS confirmed
FROM pg_replication_slots s WHERE s.slot_name = $1`

/** Asks one question at a time, over a connection that is opened again when it is lost. */
class LagWatch {
  readonly #settings: Pick<RelaySettings, 'database' | 'slot'>
  #connection: PostgresConnection | undefined
  #asking = false
  #answers = 0
  #closed = false

  constructor(settings: Pick<RelaySettings, 'database' | 'slot'>) {
    this.#settings = settings
  }

  /** Undefined: no answer this time. */
  async ask(): Promise<LagAnswer | undefined> {
    if (this.#asking || this.#closed) return undefined
    this.#asking = true
    try {
      this.#connection ??= await connectPostgres(this.#settings.database)
      const [row] = await this.#connection.query(QUERY, [this.#settings.slot])
      if (!row || this.#closed) return undefined
      return {
        isFirst: this.#answers++ === 0,
        lagBytes: Number(row['lag']),
        confirmedBytes: Number(row['confirmed']),
      }
    } catch {
      void this.#connection?.close()
      this.#connection = undefined
      return undefined
    } finally {
      this.#asking = false
      if (this.#closed) void this.#connection?.close()
    }
  }

  close(): void {
    this.#closed = true
    if (!this.#asking) void this.#connection?.close()
  }
}
