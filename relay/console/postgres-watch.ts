import { withinLimit } from '../deferred.ts'
import { connectPostgres, describeError, type PostgresConnection } from '../doctor/postgres-connection.ts'
import { forecastBudget, inspectSlot, judgeSlot, type SlotInspection } from '../source/wal/guardian.ts'
import type { RelaySettings } from '../types.ts'
import type { Peer, SlotSection } from './state.ts'
import { WalClock } from './wal-clock.ts'

/** Between two looks, milliseconds. */
export const LOOK_MS = 2_000
/** Rates and forecasts are over so many looks: a minute. */
const LOOKS_OF_A_RATE = 30
/** A relay that stands by connects for moments only; it is shown for so long after it was seen. */
const PEER_MEMORY_MS = 60_000
const PEERS_MAX = 50
const STOP_LIMIT_MS = 500

const LIMIT = `SELECT nullif(setting, '-1')::float8 * 1048576 AS bytes FROM pg_settings WHERE name = 'max_slot_wal_keep_size'`

// Relays are told by the application_name that they share; a walsender without a slot of ours is PostgreSQL's standby.
const PEERS = `
SELECT a.pid, coalesce(a.application_name, '') AS name, coalesce(host(a.client_addr), 'local socket') AS address,
  extract(epoch FROM a.backend_start)::float8 * 1000 AS since, a.pid = s.active_pid AS holds,
  r.state, r.sync_state AS sync, p.slot_name IS NOT NULL OR r.pid IS NOT NULL AND p.slot_type IS DISTINCT FROM 'logical' AS replica,
  extract(epoch FROM r.replay_lag)::float8 AS lag
FROM pg_stat_activity a
LEFT JOIN pg_replication_slots s ON s.slot_name = $1
LEFT JOIN pg_stat_replication r ON r.pid = a.pid
LEFT JOIN pg_replication_slots p ON p.active_pid = a.pid AND p.slot_type = 'physical'
WHERE a.pid <> pg_backend_pid() AND (a.pid = s.active_pid OR r.pid IS NOT NULL AND NOT EXISTS
    (SELECT FROM pg_replication_slots l WHERE l.active_pid = a.pid AND l.slot_type = 'logical')
  OR a.datname = current_database() AND a.application_name = $2)
ORDER BY a.backend_start LIMIT 200`

interface PeerRow {
  readonly pid: number
  readonly name: string
  readonly address: string
  readonly since: number | null
  readonly holds: boolean | null
  readonly state: string | null
  readonly sync: string | null
  readonly replica: boolean | null
  readonly lag: number | null
}

/**
 * Asks PostgreSQL every two seconds, over a connection of its own: slot, budget, who is connected. When it cannot be
 * asked, what was known stays, with the reason.
 *
 * @example
 * const watch = new PostgresWatch(settings, { lastCommitMs: () => recorder.lastCommitMs })
 * watch.start()
 */
export class PostgresWatch {
  readonly #settings: Pick<RelaySettings, 'database' | 'slot' | 'publication'>
  readonly #clock = new WalClock()
  readonly #inspections: SlotInspection[] = []
  readonly #seen = new Map<string, Peer & { readonly seenMs: number }>()
  readonly #lastCommitMs: () => number | undefined
  #connection: PostgresConnection | undefined
  #limitBytes: number | null = null
  #failure: string | null = null
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #stopped = false

  constructor(
    settings: Pick<RelaySettings, 'database' | 'slot' | 'publication'>,
    options: { readonly lastCommitMs: () => number | undefined },
  ) {
    this.#settings = settings
    this.#lastCommitMs = options.lastCommitMs
  }

  start(): void {
    this.#looking = this.#look().then(() => {
      if (!this.#stopped) this.#timer = setTimeout(() => this.start(), LOOK_MS).unref()
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    // A look that hangs is not waited for: a stop has its time limit, and the process ends soon.
    await withinLimit(Promise.all([this.#connection?.close(), this.#looking]), STOP_LIMIT_MS)
  }

  /** Null before the first answer. */
  slot(): SlotSection | null {
    const now = this.#inspections.at(-1)
    if (!now) return this.#failure === null ? null : { ...UNKNOWN, failure: this.#failure }
    const before = this.#inspections[0]
    const age = this.lagSeconds()
    const leftSeconds = forecastBudget(now, before === now ? undefined : before)
    return {
      failure: this.#failure,
      exists: now.slot !== undefined,
      walStatus: now.slot?.wal_status ?? null,
      keptBytes: now.restartLagBytes,
      lagBytes: now.confirmedLagBytes,
      lagIsAtLeast: age?.isAtLeast ?? false,
      lagSeconds: age?.seconds ?? null,
      limitBytes: this.#limitBytes,
      leftBytes: now.slot?.safe_wal_size ?? null,
      leftSeconds: leftSeconds ?? null,
      walBytesPerSecond:
        !before || before === now
          ? 0
          : Math.max(0, ((now.walBytes - before.walBytes) * 1_000) / (now.atMs - before.atMs)),
      findings: judgeSlot(this.#settings, now, before === now ? undefined : before).map(({ code, message }) => ({
        code,
        message,
      })),
      peers: this.#peers(),
    }
  }

  /** How old the position is that the slot is confirmed to. A backlog from before the first look is as old as what passes. */
  lagSeconds(): { readonly seconds: number; readonly isAtLeast: boolean } | undefined {
    const now = this.#inspections.at(-1)
    if (!now?.slot) return undefined
    const age = this.#clock.ageOf(now.walBytes - now.confirmedLagBytes, performance.now())
    const commitMs = this.#lastCommitMs()
    if (!age?.isAtLeast || commitMs === undefined) return age
    return { seconds: Math.max(age.seconds, (Date.now() - commitMs) / 1_000), isAtLeast: false }
  }

  async #look(): Promise<void> {
    try {
      const connection = this.#connection ?? (await this.#connect())
      const client = {
        query: async (text: string, values?: unknown[]) => ({ rows: await connection.query(text, values) }),
      }
      const inspection = await inspectSlot(client, this.#settings)
      const { slot, database } = this.#settings
      const rows = (await connection.query(PEERS, [slot, database.applicationName])) as unknown as PeerRow[]
      const last = this.#inspections.at(-1)
      if (last && inspection.walBytes < last.walBytes) this.#inspections.length = 0
      this.#inspections.push(inspection)
      if (this.#inspections.length > LOOKS_OF_A_RATE) this.#inspections.shift()
      this.#clock.look(inspection.atMs, inspection.walBytes)
      this.#see(rows)
      this.#failure = null
    } catch (error) {
      void this.#connection?.close()
      this.#connection = undefined
      if (!this.#stopped) this.#failure = describeError(error)
    }
  }

  async #connect(): Promise<PostgresConnection> {
    const { database } = this.#settings
    const connection = await connectPostgres({ ...database, applicationName: `${database.applicationName} console` })
    if (this.#stopped) {
      await connection.close()
      throw new Error('the console has stopped')
    }
    this.#connection = connection
    const [row] = await connection.query(LIMIT)
    this.#limitBytes = row?.['bytes'] === null ? null : Number(row?.['bytes'])
    return connection
  }

  #see(rows: readonly PeerRow[]): void {
    const seenMs = Date.now()
    for (const [key, peer] of this.#seen) {
      // A holder and a server are there or not; only a relay that stands by comes and goes.
      if (peer.role !== 'relay' || seenMs - peer.seenMs > PEER_MEMORY_MS) this.#seen.delete(key)
    }
    for (const row of rows) {
      const { role, key, detail } = describePeer(row)
      if (this.#seen.size >= PEERS_MAX && !this.#seen.has(key)) continue
      const { name, address, since } = row
      this.#seen.set(key, { role, name, address, sinceMs: since === null ? null : Math.round(since), detail, seenMs })
    }
  }

  #peers(): Peer[] {
    return [...this.#seen.values()]
      .map(({ seenMs: _, ...peer }) => peer)
      .sort((a, b) => ORDER.indexOf(a.role) - ORDER.indexOf(b.role) || (a.address < b.address ? -1 : 1))
  }
}

const ORDER: readonly Peer['role'][] = ['holds the slot', 'relay', 'standby server']

const UNKNOWN: SlotSection = {
  failure: null,
  exists: false,
  walStatus: null,
  keptBytes: 0,
  lagBytes: 0,
  lagIsAtLeast: false,
  lagSeconds: null,
  limitBytes: null,
  leftBytes: null,
  leftSeconds: null,
  walBytesPerSecond: 0,
  findings: [],
  peers: [],
}

/** Connections of relays from one address are shown as one: each has several, and makes new ones while it stands by. */
function describePeer({ pid, name, address, holds, state, sync, replica, lag }: PeerRow): {
  role: Peer['role']
  key: string
  detail: string
} {
  if (holds) return { role: 'holds the slot', key: `holder ${pid}`, detail: `backend ${pid}` }
  if (replica) {
    const behind = lag === null ? '' : `, ${lag.toFixed(1)} s behind`
    return { role: 'standby server', key: `server ${pid}`, detail: `${state ?? ''} (${sync ?? ''})${behind}` }
  }
  return { role: 'relay', key: `relay ${name} ${address}`, detail: 'connected within the last minute' }
}
