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

/** A relay that stands by tells by the name of its console's connection that it does. */
const STANDS_BY = ' console, standing by'

// The holder streams from our slot. A walsender without a logical slot is a standby of PostgreSQL's, or, under the name
// that relays share, one that looks whether the slot is free.
const PEERS = `
SELECT a.pid, coalesce(a.application_name, '') AS name, coalesce(host(a.client_addr), 'local socket') AS address,
  extract(epoch FROM a.backend_start)::float8 * 1000 AS since, a.pid = s.active_pid AS holds,
  a.pid = pg_backend_pid() AS own, r.state, r.sync_state AS sync, extract(epoch FROM r.replay_lag)::float8 AS lag
FROM pg_stat_activity a
LEFT JOIN pg_replication_slots s ON s.slot_name = $1
LEFT JOIN pg_stat_replication r ON r.pid = a.pid
WHERE a.pid = s.active_pid OR a.datname = current_database() AND a.application_name = $2 OR r.pid IS NOT NULL
  AND NOT EXISTS (SELECT FROM pg_replication_slots l WHERE l.active_pid = a.pid AND l.slot_type = 'logical')
ORDER BY a.backend_start LIMIT 200`

interface PeerRow {
  readonly pid: number
  readonly name: string
  readonly address: string
  readonly since: number | null
  readonly holds: boolean | null
  readonly own: boolean
  readonly state: string | null
  readonly sync: string | null
  readonly lag: number | null
}

interface SeenPeer extends Peer {
  readonly seenMs: number
  /** It connects for moments only. */
  readonly isPassing: boolean
}

/**
 * Asks PostgreSQL every two seconds, over a connection of its own: slot, budget, who is connected. When it cannot be
 * asked, what was known stays, with the reason.
 *
 * @example
 * const watch = new PostgresWatch(settings, () => relay.phase)
 * watch.start()
 */
export class PostgresWatch {
  readonly #settings: Pick<RelaySettings, 'database' | 'slot' | 'publication'>
  readonly #clock = new WalClock()
  readonly #inspections: SlotInspection[] = []
  readonly #seen = new Map<string, SeenPeer>()
  readonly #phase: () => string
  #seenInPhase = ''
  #connection: PostgresConnection | undefined
  /** That the connection goes by. */
  #name = ''
  #limitBytes: number | null = null
  #failure: string | null = null
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #stopped = false

  constructor(settings: Pick<RelaySettings, 'database' | 'slot' | 'publication'>, phase: () => string) {
    this.#settings = settings
    this.#phase = phase
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
    const leftSeconds = forecastBudget(now, before === now ? undefined : before)
    return {
      failure: this.#failure,
      exists: now.slot !== undefined,
      walStatus: now.slot?.wal_status ?? null,
      keptBytes: now.restartLagBytes,
      lagBytes: now.confirmedLagBytes,
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

  /** How old the position is that the slot is confirmed to, whoever holds it; undefined: not known. */
  lagSeconds(): { readonly seconds: number; readonly isAtLeast: boolean } | undefined {
    const now = this.#inspections.at(-1)
    return now?.slot && this.#clock.ageOf(now.walBytes - now.confirmedLagBytes, performance.now())
  }

  async #look(): Promise<void> {
    try {
      const connection = this.#connection ?? (await this.#connect())
      const client = {
        query: async (text: string, values?: unknown[]) => ({ rows: await connection.query(text, values) }),
      }
      const inspection = await inspectSlot(client, this.#settings)
      const { slot, database } = this.#settings
      await this.#tellName(connection)
      const rows = (await connection.query(PEERS, [
        slot,
        `${database.applicationName}${STANDS_BY}`,
      ])) as unknown as PeerRow[]
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
    const applicationName = `${database.applicationName} console`
    const connection = await connectPostgres({ ...database, applicationName })
    if (this.#stopped) {
      await connection.close()
      throw new Error('the console has stopped')
    }
    this.#connection = connection
    this.#name = applicationName
    const [row] = await connection.query(LIMIT)
    this.#limitBytes = row?.['bytes'] === null ? null : Number(row?.['bytes'])
    return connection
  }

  async #tellName(connection: PostgresConnection): Promise<void> {
    const name = `${this.#settings.database.applicationName}${this.#phase() === 'standby' ? STANDS_BY : ' console'}`
    if (name === this.#name) return
    await connection.query("SELECT set_config('application_name', $1, false)", [name])
    this.#name = name
  }

  #see(rows: readonly PeerRow[]): void {
    const seenMs = Date.now()
    const phase = this.#phase()
    // Until it streams or stands by, who looks whether the slot is free is this relay itself.
    const isSettled = phase === this.#seenInPhase && (phase === 'streaming' || phase === 'standby')
    this.#seenInPhase = phase
    for (const [key, peer] of this.#seen) {
      // The others are there or not; only a relay that looks whether the slot is free comes and goes.
      if (!peer.isPassing || !isSettled || seenMs - peer.seenMs > PEER_MEMORY_MS) this.#seen.delete(key)
    }
    for (const row of rows) {
      const { key, ...peer } = describePeer(row, this.#settings.database.applicationName)
      if (peer.isPassing && !isSettled) continue
      if (this.#seen.size < PEERS_MAX || this.#seen.has(key)) this.#seen.set(key, { ...peer, seenMs })
    }
  }

  #peers(): Peer[] {
    const peers = [...this.#seen.values()]
    const told = new Set(
      peers.filter(({ role, isPassing }) => role === 'stands by' && !isPassing).map((one) => one.address),
    )
    return peers
      .filter(({ isPassing, address }) => !isPassing || !told.has(address))
      .map(({ seenMs: _, isPassing: __, ...peer }) => peer)
      .sort((a, b) => ORDER.indexOf(a.role) - ORDER.indexOf(b.role) || (a.address < b.address ? -1 : 1))
  }
}

const ORDER: readonly Peer['role'][] = ['holds the slot', 'stands by', 'standby server']

const UNKNOWN: SlotSection = {
  failure: null,
  exists: false,
  walStatus: null,
  keptBytes: 0,
  lagBytes: 0,
  limitBytes: null,
  leftBytes: null,
  leftSeconds: null,
  walBytesPerSecond: 0,
  findings: [],
  peers: [],
}

function describePeer(row: PeerRow, ours: string): Omit<SeenPeer, 'seenMs'> & { readonly key: string } {
  const { pid, address, since, state, sync, lag } = row
  const common = { name: row.name, address, sinceMs: since === null ? null : Math.round(since), isPassing: false }
  if (row.holds) return { ...common, key: `holder ${pid}`, role: 'holds the slot', detail: `backend ${pid}` }
  if (row.name.endsWith(STANDS_BY)) {
    const detail = row.own ? 'this relay' : `backend ${pid}`
    return { ...common, key: `relay ${pid}`, role: 'stands by', name: row.own ? `${ours} (this one)` : ours, detail }
  }
  if (row.name === ours) {
    const detail = 'looks every second whether the slot is free; its console is off'
    return { ...common, key: `passing ${address}`, role: 'stands by', sinceMs: null, detail, isPassing: true }
  }
  const behind = lag === null ? '' : `, ${lag.toFixed(1)} s behind`
  return { ...common, key: `server ${pid}`, role: 'standby server', detail: `${state ?? ''} (${sync ?? ''})${behind}` }
}
