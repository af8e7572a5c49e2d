import type { Query } from '../doctor/postgres-connection.ts'
import type { SetupSlot, SetupState } from './plan.ts'

const QUERY = `
SELECT current_database()::text AS database, current_setting('server_version_num')::int AS version,
  current_setting('wal_level') AS wal_level, pg_is_in_recovery() AS standby, current_user::text AS self,
  me.rolsuper AS superuser, me.rolsuper OR me.rolcreaterole AS may_create_roles,
  r.oid IS NOT NULL AS role_exists,
  coalesce(r.rolsuper OR r.rolreplication OR EXISTS (
    SELECT FROM pg_roles g WHERE g.rolname = 'rds_replication' AND pg_has_role(r.oid, g.oid, 'member')), false) AS may_replicate,
  coalesce(has_database_privilege(r.oid, current_database(), 'CONNECT'), false) AS may_connect,
  coalesce(pg_has_role(r.oid, 'pg_read_all_stats', 'member'), false) AS sees_statistics,
  EXISTS (SELECT FROM pg_publication WHERE pubname = $2) AS published,
  (SELECT to_jsonb(s) FROM pg_replication_slots s WHERE s.slot_name = $1) AS slot,
  (SELECT count(*) FROM pg_replication_slots)::int AS slots_used,
  current_setting('max_replication_slots')::int AS slots_max,
  t.oid IS NOT NULL AS memory_exists,
  coalesce(has_schema_privilege(r.oid, t.relnamespace, 'USAGE')
    AND has_table_privilege(r.oid, t.oid, 'SELECT') AND has_table_privilege(r.oid, t.oid, 'INSERT')
    AND has_table_privilege(r.oid, t.oid, 'UPDATE'), false) AS may_use_memory
FROM pg_roles me
LEFT JOIN pg_roles r ON r.rolname = $3
LEFT JOIN pg_class t ON t.relname = 'relay_slots'
  AND t.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = 'factlib')
WHERE me.rolname = current_user`

/** The row as PostgreSQL gives it. */
interface Row {
  database: string
  version: number
  wal_level: string
  standby: boolean
  self: string
  superuser: boolean
  may_create_roles: boolean
  role_exists: boolean
  may_replicate: boolean
  may_connect: boolean
  sees_statistics: boolean
  published: boolean
  slot: Record<string, unknown> | null
  slots_used: number
  slots_max: number
  memory_exists: boolean
  may_use_memory: boolean
}

/** Looks at what is there; changes nothing. Throws the driver's error. */
export async function readSetupState(
  query: Query,
  names: { readonly slot: string; readonly publication: string; readonly role: string },
): Promise<SetupState> {
  const [row] = (await query(QUERY, [names.slot, names.publication, names.role])) as unknown as [Row]
  return {
    database: row.database,
    version: row.version,
    walLevel: row.wal_level,
    isStandby: row.standby,
    self: { role: row.self, mayCreateRoles: row.may_create_roles, isSuperuser: row.superuser },
    role: { exists: row.role_exists, mayReplicate: row.may_replicate, mayConnect: row.may_connect },
    hasPublication: row.published,
    slot: row.slot ? toSlot(row.slot) : undefined,
    memory: {
      exists: row.memory_exists,
      mayUse: row.may_use_memory,
      remembersSlot: row.memory_exists && (await remembers(query, names.slot)),
    },
    seesStatistics: row.sees_statistics,
    slots: { used: row.slots_used, max: row.slots_max },
  }
}

function toSlot(slot: Record<string, unknown>): SetupSlot {
  return {
    plugin: (slot['plugin'] as string | null) ?? null,
    database: (slot['database'] as string | null) ?? null,
    slotType: String(slot['slot_type']),
    temporary: slot['temporary'] === true,
    twoPhase: slot['two_phase'] === true,
    lost: slot['wal_status'] === 'lost' || (slot['invalidation_reason'] ?? null) !== null,
    active: slot['active'] === true,
  }
}

async function remembers(query: Query, slot: string): Promise<boolean> {
  try {
    return (await query('SELECT FROM factlib.relay_slots WHERE slot = $1', [slot])).length > 0
  } catch (error) {
    // Not ours to read: the relay will say so.
    if ((error as { code?: unknown }).code === '42501') return false
    throw error
  }
}
