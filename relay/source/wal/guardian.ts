import type { RelayHaltError } from '../../errors.ts'
import { RelayHaltError as HaltError } from '../../errors.ts'
import { EXIT } from '../../policy.ts'
import type { QueryClient } from './slot-memory.ts'

// The slot's guardian: looks at the slot over the control connection, every 10 s, and says what will go wrong before it
// does. `inspectSlot` asks, `judgeSlot` (pure) decides.

/** One look at the slot. Sizes are bytes. */
export interface SlotInspection {
  /** The row of pg_replication_slots, as far as this server version has its columns; undefined: no such slot. */
  readonly slot:
    | {
        readonly plugin?: string | null
        readonly wal_status?: string | null
        readonly safe_wal_size?: number | null
        readonly active_pid?: number | null
        readonly invalidation_reason?: string | null
        readonly failover?: boolean | null
      }
    | undefined
  readonly published: boolean
  /** WAL between the slot's restart_lsn, or confirmed_flush_lsn, and the end of the WAL. */
  readonly restartLagBytes: number
  readonly confirmedLagBytes: number
  /** End of the WAL as a number of bytes since 0/0; for the rate. */
  readonly walBytes: number
  /** `async` is what a relay should be; null where the role may not see it. */
  readonly syncState: string | null
  /** Physical standbys that are connected. */
  readonly standbys: number
  /** Seconds; 0 = never. PostgreSQL 18. */
  readonly idleTimeoutSeconds: number
  /** The oldest open transaction that writes, which pins restart_lsn: its age in seconds and backend. */
  readonly oldestTransaction: { readonly seconds: number; readonly pid: number } | undefined
  /** Monotonic milliseconds. */
  readonly atMs: number
}

/** What the operator should know. `code` is stable: alerts and tests name it. */
export interface SlotFinding {
  readonly code:
    | 'SLOT_UNRESERVED'
    | 'WAL_BUDGET_LOW'
    | 'IDLE_TIMEOUT_SET'
    | 'OLD_TRANSACTION'
    | 'NO_FAILOVER'
    | 'PUBLICATION_MISSING'
    | 'SYNC_STANDBY'
    | 'SLOT_GONE'
    | 'SLOT_LOST'
  readonly message: string
  /** Going on is not possible, or harms others. */
  readonly halt?: RelayHaltError
}

const OLD_TRANSACTION_SECONDS = 300
/** A budget that lasts less than this is said, seconds. */
const LOW_BUDGET_SECONDS = 3_600

const QUERY = `
SELECT to_jsonb(s) AS slot,
  EXISTS (SELECT FROM pg_publication WHERE pubname = $2) AS published,
  coalesce(pg_wal_lsn_diff(w.lsn, s.restart_lsn), 0)::float8 AS restart_lag,
  coalesce(pg_wal_lsn_diff(w.lsn, s.confirmed_flush_lsn), 0)::float8 AS confirmed_lag,
  pg_wal_lsn_diff(w.lsn, '0/0')::float8 AS wal_bytes,
  (SELECT r.sync_state FROM pg_stat_replication r WHERE r.pid = s.active_pid) AS sync_state,
  (SELECT count(*) FROM pg_replication_slots p WHERE p.slot_type = 'physical' AND p.active)::int AS standbys,
  coalesce((SELECT CASE g.unit WHEN 'min' THEN 60 ELSE 1 END * g.setting::int
     FROM pg_settings g WHERE g.name = 'idle_replication_slot_timeout'), 0)::int AS idle_timeout,
  (SELECT jsonb_build_object('seconds', extract(epoch FROM now() - a.xact_start), 'pid', a.pid)
     FROM pg_stat_activity a WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
     ORDER BY a.xact_start LIMIT 1) AS oldest
FROM (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn) w
LEFT JOIN pg_replication_slots s ON s.slot_name = $1`

export async function inspectSlot(
  client: QueryClient,
  names: { readonly slot: string; readonly publication: string },
): Promise<SlotInspection> {
  const [row] = (await client.query(QUERY, [names.slot, names.publication])).rows as [
    {
      slot: SlotInspection['slot'] | null
      published: boolean
      restart_lag: number
      confirmed_lag: number
      wal_bytes: number
      sync_state: string | null
      standbys: number
      idle_timeout: number
      oldest: { seconds: number; pid: number } | null
    },
  ]
  return {
    slot: row.slot ?? undefined,
    published: row.published,
    restartLagBytes: row.restart_lag,
    confirmedLagBytes: row.confirmed_lag,
    walBytes: row.wal_bytes,
    syncState: row.sync_state,
    standbys: row.standbys,
    idleTimeoutSeconds: row.idle_timeout,
    oldestTransaction: row.oldest ?? undefined,
    atMs: performance.now(),
  }
}

/**
 * Seconds until PostgreSQL removes WAL that the slot needs, at the rate between two looks; undefined where there is no
 * limit (`max_slot_wal_keep_size = -1`) or nothing is written.
 */
export function forecastBudget(now: SlotInspection, before: SlotInspection | undefined): number | undefined {
  const left = now.slot?.safe_wal_size
  if (left === null || left === undefined || before === undefined) return undefined
  const rate = ((now.walBytes - before.walBytes) / (now.atMs - before.atMs)) * 1000
  return rate > 0 ? Math.max(0, left) / rate : undefined
}

/** What the look at the slot means. */
export function judgeSlot(
  names: { readonly slot: string; readonly publication: string },
  now: SlotInspection,
  before?: SlotInspection,
): SlotFinding[] {
  const { slot, publication } = names
  const gone = (code: 'SLOT_GONE' | 'SLOT_LOST', message: string): SlotFinding[] => [
    { code, message, halt: new HaltError('FACTLIB_SLOT_GONE', EXIT.slotGone, message) },
  ]
  if (!now.slot)
    return gone(
      'SLOT_GONE',
      `replication slot "${slot}" was there and is gone: facts since then cannot be read any more`,
    )
  if (now.slot.wal_status === 'lost' || (now.slot.invalidation_reason ?? null) !== null)
    return gone(
      'SLOT_LOST',
      `replication slot "${slot}" is lost (${now.slot.invalidation_reason ?? 'PostgreSQL removed WAL that it needed'}): facts since then cannot be read any more`,
    )
  const findings: SlotFinding[] = []
  if (!now.published) {
    const message = `publication "${publication}" does not exist any more: decoding fails at the next table write. Run CREATE PUBLICATION "${publication.replaceAll('"', '""')}"`
    findings.push({
      code: 'PUBLICATION_MISSING',
      message,
      halt: new HaltError('FACTLIB_PUBLICATION_MISSING', EXIT.slotUnusable, message),
    })
  }
  if (now.syncState !== null && now.syncState !== 'async') {
    const message = `the relay counts as a synchronous standby (${now.syncState}): every COMMIT would wait for Kafka. Take its application_name out of synchronous_standby_names`
    findings.push({
      code: 'SYNC_STANDBY',
      message,
      halt: new HaltError('FACTLIB_SYNC_STANDBY', EXIT.slotUnusable, message),
    })
  }
  if (now.slot.wal_status === 'unreserved')
    findings.push({
      code: 'SLOT_UNRESERVED',
      message: `replication slot "${slot}" is past max_slot_wal_keep_size: the next checkpoint may remove WAL that it needs. Raise max_slot_wal_keep_size now and bring Kafka back`,
    })
  const seconds = forecastBudget(now, before)
  if (seconds !== undefined && seconds < LOW_BUDGET_SECONDS)
    findings.push({
      code: 'WAL_BUDGET_LOW',
      message: `at the present rate the slot's WAL budget (${Math.max(0, Math.round((now.slot.safe_wal_size ?? 0) / 1_048_576))} MiB left) lasts ${Math.round(seconds)} s: raise max_slot_wal_keep_size, or make the relay advance`,
    })
  if (now.idleTimeoutSeconds > 0)
    findings.push({
      code: 'IDLE_TIMEOUT_SET',
      message: `idle_replication_slot_timeout is ${now.idleTimeoutSeconds} s: a relay that is down for longer loses its slot, and facts with it. Set it to 0`,
    })
  if (now.oldestTransaction && now.oldestTransaction.seconds > OLD_TRANSACTION_SECONDS)
    findings.push({
      code: 'OLD_TRANSACTION',
      message: `backend ${now.oldestTransaction.pid} has had a transaction open for ${Math.round(now.oldestTransaction.seconds)} s: until it ends, PostgreSQL keeps all WAL since it began`,
    })
  if (now.standbys > 0 && now.slot.failover === false)
    findings.push({
      code: 'NO_FAILOVER',
      message: `there are standbys, but replication slot "${slot}" does not fail over with them: after a failover it is gone. Create it with failover (SLOT_FAILOVER=true)`,
    })
  return findings
}
