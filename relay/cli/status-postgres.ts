import { connectPostgres } from '../doctor/postgres-connection.ts'
import { forecastBudget, inspectSlot, judgeSlot, type SlotInspection } from '../source/wal/guardian.ts'
import { peekSlot } from '../source/wal/peek.ts'
import type { RelaySettings } from '../types.ts'

export interface SlotStatus {
  readonly slot: string
  readonly exists: boolean
  readonly walStatus: string | null
  /** WAL that is kept for the slot, and WAL whose facts are not confirmed; bytes. */
  readonly restartLagBytes: number
  readonly confirmedLagBytes: number
  /** Age of the oldest unconfirmed fact, seconds, best effort; null: not known. */
  readonly lagSeconds: number | null
  /** Bytes of WAL until PostgreSQL gives up the slot; null: no limit. */
  readonly budgetLeftBytes: number | null
  /** At the present rate. */
  readonly budgetLeftSeconds: number | null
  readonly walBytesPerSecond: number
  readonly confirmedBytesPerSecond: number
  readonly holder: {
    readonly pid: number
    readonly applicationName: string | null
    readonly address: string | null
    readonly since: string | null
  } | null
  readonly findings: readonly { readonly code: string; readonly message: string }[]
}

const HOLDER = `
SELECT a.pid, nullif(a.application_name, '') AS "applicationName", host(a.client_addr) AS address,
  to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS since,
  extract(epoch FROM r.flush_lag)::float8 AS "lagSeconds"
FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid
LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid WHERE s.slot_name = $1`

/** Two looks, `intervalMs` apart. Throws the driver's error. */
export async function readSlotStatus(settings: RelaySettings, intervalMs: number): Promise<SlotStatus> {
  const { slot, publication } = settings
  const connection = await connectPostgres(settings.database)
  try {
    const client = {
      query: async (text: string, values?: unknown[]) => ({ rows: await connection.query(text, values) }),
    }
    const before = await inspectSlot(client, { slot, publication })
    await new Promise((resolve) => setTimeout(resolve, intervalMs))
    const now = await inspectSlot(client, { slot, publication })
    const [holder] = (await connection.query(HOLDER, [slot])) as unknown as [
      (NonNullable<SlotStatus['holder']> & { lagSeconds: number | null }) | undefined,
    ]
    const seconds = (now.atMs - before.atMs) / 1_000
    const confirmed = ({ walBytes, confirmedLagBytes }: SlotInspection) => walBytes - confirmedLagBytes
    return {
      slot,
      exists: now.slot !== undefined,
      walStatus: now.slot?.wal_status ?? null,
      restartLagBytes: now.restartLagBytes,
      confirmedLagBytes: now.confirmedLagBytes,
      lagSeconds: now.slot ? await lagSeconds(client, settings, now, holder?.lagSeconds ?? null) : null,
      budgetLeftBytes: now.slot?.safe_wal_size ?? null,
      budgetLeftSeconds: forecastBudget(now, before) ?? null,
      walBytesPerSecond: Math.round((now.walBytes - before.walBytes) / seconds),
      confirmedBytesPerSecond: now.slot ? Math.max(0, Math.round((confirmed(now) - confirmed(before)) / seconds)) : 0,
      holder: holder
        ? { pid: holder.pid, applicationName: holder.applicationName, address: holder.address, since: holder.since }
        : null,
      findings: judgeSlot({ slot, publication }, now, before).map(({ code, message }) => ({ code, message })),
    }
  } finally {
    await connection.close()
  }
}

/** Of a slot that nobody reads, from the first commit in it; else from what PostgreSQL measures of its receiver. */
async function lagSeconds(
  client: Parameters<typeof peekSlot>[0],
  settings: RelaySettings,
  now: SlotInspection,
  measured: number | null,
): Promise<number | null> {
  if (now.confirmedLagBytes === 0) return 0
  if (now.slot?.active_pid != null) return measured
  try {
    const { messages, isAll } = await peekSlot(client, settings, 100)
    const first = messages.find(({ commitTimeMicros }) => commitTimeMicros !== undefined)
    if (first?.commitTimeMicros === undefined) return messages.length === 0 && isAll ? 0 : null
    return Math.max(0, (Date.now() - Number(first.commitTimeMicros / 1_000n)) / 1_000)
  } catch {
    return null
  }
}
