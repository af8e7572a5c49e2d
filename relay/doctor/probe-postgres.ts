import { createEnvelopeScan, scanEnvelope } from '../../src/envelope/scan.ts'
import { formatLsn, type Lsn, parseLsn } from '../lsn.ts'
import { createRouter } from '../router.ts'
import { inspectSlot } from '../source/wal/guardian.ts'
import { peekSlot } from '../source/wal/peek.ts'
import { poolerError } from '../source/wal/slot.ts'
import { findGap, parseTimelineHistory, type RememberedSlot } from '../source/wal/slot-memory.ts'
import type { RelaySettings, Route } from '../types.ts'
import type {
  ClockFacts,
  MemoryFacts,
  Outcome,
  PeekFacts,
  PostgresFacts,
  RoleFacts,
  ServerFacts,
  SlotFacts,
} from './facts.ts'
import { connectPostgres, describeError, type PostgresConnection, type Query } from './postgres-connection.ts'

/** Key, headers and batch around a value; an estimate for comparing with limits. */
const AROUND_VALUE_BYTES = 200

/** Asks PostgreSQL everything that the checks want to know. Changes nothing; never throws for what the server answers. */
export async function probePostgres(
  settings: RelaySettings,
  routes: readonly Route[],
  peekMessages: number,
): Promise<PostgresFacts> {
  let connection: PostgresConnection
  try {
    connection = await connectPostgres(settings.database)
  } catch (error) {
    return { connect: failed(error) }
  }
  try {
    const { query } = connection
    const clock = await readClock(query)
    const { server, role } = await readServer(query, settings)
    const base = { connect: { ok: true } as const, server, role, clock }
    if (server.version < 140_000) return base
    const slot = await readSlot(query, settings.slot)
    const { outcome: replication, identity, history } = await probeReplication(settings)
    const usable =
      slot?.slotType === 'logical' &&
      slot.plugin === 'pgoutput' &&
      slot.database === settings.database.database &&
      slot.walStatus !== 'lost'
    return {
      ...base,
      slot,
      replication,
      inspection: await inspectSlot({ query: async (text, values) => ({ rows: await query(text, values) }) }, settings),
      memory: await readMemory(
        query,
        settings.slot,
        identity,
        history,
        slot ? await confirmedLsn(query, settings.slot) : undefined,
      ),
      ...(usable && slot?.activePid === null && server.published && role.mayReplicate && peekMessages > 0
        ? { peek: await peek(query, settings, routes, peekMessages) }
        : {}),
    }
  } finally {
    await connection.close()
  }
}

function failed(error: unknown): Outcome {
  const { code } = (error ?? {}) as { code?: unknown }
  return {
    ok: false,
    code: typeof code === 'string' ? code : '',
    message: describeError(error),
    hint: poolerError(error) ? 'pooler' : undefined,
  }
}

async function readClock(query: Query): Promise<ClockFacts> {
  const began = performance.now()
  const [row] = await query('SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now')
  const tookMs = performance.now() - began
  return { aheadMs: Number(row?.['now']) + tookMs / 2 - Date.now(), uncertaintyMs: tookMs / 2 }
}

const SERVER_QUERY = `
SELECT current_setting('server_version_num')::int AS version, current_setting('wal_level') AS "walLevel",
  pg_is_in_recovery() AS "isStandby",
  current_setting('max_replication_slots')::int AS "maxSlots",
  (SELECT count(*) FROM pg_replication_slots)::int AS "usedSlots",
  current_setting('max_wal_senders')::int AS "maxSenders",
  (SELECT count(*) FROM pg_stat_replication)::int AS "usedSenders",
  (SELECT nullif(setting::bigint, -1) * 1048576 FROM pg_settings WHERE name = 'max_slot_wal_keep_size')::float8 AS "maxSlotWalKeepBytes",
  coalesce((SELECT CASE unit WHEN 'min' THEN 60 ELSE 1 END * setting::int FROM pg_settings
    WHERE name = 'idle_replication_slot_timeout'), 0)::int AS "idleTimeoutSeconds",
  (SELECT setting::int FROM pg_settings WHERE name = 'wal_sender_timeout') AS "walSenderTimeoutMs",
  current_setting('synchronous_standby_names') AS "synchronousStandbyNames",
  coalesce(current_setting('sync_replication_slots', true), 'off') = 'on' AS "syncReplicationSlots",
  EXISTS (SELECT FROM pg_publication WHERE pubname = $1) AS published,
  (SELECT count(*) FROM pg_publication_tables WHERE pubname = $1)::int AS "publishedTables",
  r.rolsuper OR r.rolreplication OR EXISTS (SELECT FROM pg_roles g
    WHERE g.rolname = 'rds_replication' AND pg_has_role(r.oid, g.oid, 'member')) AS "mayReplicate",
  pg_has_role(r.oid, 'pg_read_all_stats', 'usage') AS "seesStatistics",
  has_database_privilege(current_database(), 'CREATE') AS "mayCreate"
FROM pg_roles r WHERE r.rolname = current_user`

async function readServer(query: Query, settings: RelaySettings): Promise<{ server: ServerFacts; role: RoleFacts }> {
  const [row] = (await query(SERVER_QUERY, [settings.publication])) as unknown as [
    ServerFacts & RoleFacts & { maxSlotWalKeepBytes: number | null },
  ]
  return { server: { ...row, maxSlotWalKeepBytes: row.maxSlotWalKeepBytes ?? undefined }, role: row }
}

async function readSlot(query: Query, slot: string): Promise<SlotFacts | undefined> {
  const [row] = (await query(
    `SELECT to_jsonb(s) AS slot, nullif(concat_ws(' ', a.application_name, host(a.client_addr)), '') AS holder
     FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid WHERE s.slot_name = $1`,
    [slot],
  )) as unknown as [{ slot: Record<string, unknown>; holder: string | null } | undefined]
  if (!row) return undefined
  const text = (key: string) => (typeof row.slot[key] === 'string' ? (row.slot[key] as string) : null)
  const number = (key: string) => (typeof row.slot[key] === 'number' ? (row.slot[key] as number) : null)
  return {
    slotType: text('slot_type') ?? '',
    plugin: text('plugin'),
    database: text('database'),
    temporary: row.slot['temporary'] === true,
    twoPhase: row.slot['two_phase'] === true,
    walStatus: text('wal_status'),
    invalidation: text('invalidation_reason'),
    safeWalBytes: number('safe_wal_size'),
    failover: typeof row.slot['failover'] === 'boolean' ? (row.slot['failover'] as boolean) : null,
    activePid: number('active_pid'),
    holder: row.holder,
  }
}

interface Identity {
  readonly systemId: bigint
  readonly timeline: number
}

/** What the relay does first: a replication connection, and who is there. */
async function probeReplication(
  settings: RelaySettings,
): Promise<{ outcome: Outcome; identity?: Identity; history: ReadonlyMap<number, Lsn> }> {
  let connection: PostgresConnection | undefined
  try {
    connection = await connectPostgres(settings.database, { replication: true })
    const [row] = (await connection.query('IDENTIFY_SYSTEM')) as [Record<'systemid' | 'timeline', string> | undefined]
    const identity = { systemId: BigInt(row?.systemid ?? 0), timeline: Number(row?.timeline) }
    const history = await connection.query(`TIMELINE_HISTORY ${identity.timeline}`).then(
      ([one]) => parseTimelineHistory(String(one?.['content'] ?? '')),
      () => new Map<number, Lsn>(), // Timeline 1 has none.
    )
    return { outcome: { ok: true }, identity, history }
  } catch (error) {
    return { outcome: failed(error), history: new Map() }
  } finally {
    await connection?.close()
  }
}

async function confirmedLsn(query: Query, slot: string): Promise<Lsn | undefined> {
  const [row] = await query('SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = $1', [
    slot,
  ])
  return typeof row?.['lsn'] === 'string' ? parseLsn(row['lsn']) : undefined
}

async function readMemory(
  query: Query,
  slot: string,
  identity: Identity | undefined,
  history: ReadonlyMap<number, Lsn>,
  confirmed: Lsn | undefined,
): Promise<MemoryFacts> {
  // By the catalogue: to_regclass() fails where the schema is not ours to use.
  const [table] = await query(
    "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'factlib' AND c.relname = 'relay_slots'",
  )
  if (!table) return { exists: false, mayUse: false, remembered: undefined, gap: undefined }
  try {
    const [rights] = await query(
      "SELECT has_table_privilege('factlib.relay_slots', 'INSERT') AND has_table_privilege('factlib.relay_slots', 'UPDATE') AS may",
    )
    const [row] = (await query(
      'SELECT system_id::text, timeline, confirmed_lsn::text FROM factlib.relay_slots WHERE slot = $1',
      [slot],
    )) as unknown as [{ system_id: string; timeline: number; confirmed_lsn: string } | undefined]
    const remembered: RememberedSlot | undefined = row && {
      systemId: BigInt(row.system_id),
      timeline: row.timeline,
      confirmedLsn: parseLsn(row.confirmed_lsn),
    }
    // A slot that is gone is said as such.
    const gap =
      identity && confirmed !== undefined
        ? findGap(remembered, { ...identity, confirmedLsn: confirmed, history })
        : undefined
    return { exists: true, mayUse: rights?.['may'] === true, remembered, gap }
  } catch {
    return { exists: true, mayUse: false, remembered: undefined, gap: undefined }
  }
}

const scan = createEnvelopeScan()

async function peek(query: Query, settings: RelaySettings, routes: readonly Route[], most: number): Promise<PeekFacts> {
  const topics = new Map<string, { facts: number; largestBytes: number }>()
  const malformed: string[] = []
  const route = createRouter(routes)
  const every = settings.prefixes.includes('*')
  let messages = 0
  let foreign = 0
  try {
    const peeked = await peekSlot(
      { query: async (text, values) => ({ rows: await query(text, values) }) },
      settings,
      most,
    )
    for (const message of peeked.messages) {
      messages++
      const { prefix, content, lsn } = message
      if (!every && !settings.prefixes.includes(prefix)) {
        foreign++
        continue
      }
      scanEnvelope(content, scan)
      if (!scan.ok || scan.aggregateType === '') {
        if (every) foreign++
        else
          malformed.push(
            `LSN ${formatLsn(lsn)}, ${content.length} bytes: ${scan.problem ?? 'its aggregate type is empty'}`,
          )
        continue
      }
      const { topic } = route(prefix, scan.aggregateType, scan.eventType)
      if (topic === undefined) continue
      const known = topics.get(topic) ?? { facts: 0, largestBytes: 0 }
      const bytes =
        content.length + (scan.aggregateIdEnd - scan.aggregateIdStart) + scan.eventType.length + AROUND_VALUE_BYTES
      topics.set(topic, { facts: known.facts + 1, largestBytes: Math.max(known.largestBytes, bytes) })
    }
    return { messages, foreign, malformed, topics }
  } catch (error) {
    // Taken by a relay since we looked: nothing is wrong.
    if ((error as { code?: unknown }).code === '55006') return { messages, foreign, malformed, topics }
    return { messages, foreign, malformed, topics, failure: describeError(error) }
  }
}
