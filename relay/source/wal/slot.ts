import pg from 'pg'
import { RelayHaltError, SlotInUseError } from '../../errors.ts'
import { type Lsn, parseLsn, ZERO_LSN } from '../../lsn.ts'
import { EXIT } from '../../policy.ts'
import type { RelayLogger, RelaySettings } from '../../types.ts'
import { type FoundSlot, findGap, gapError, parseTimelineHistory, type RememberedSlot } from './slot-memory.ts'

/** The part of a `pg` client that runs SQL over a replication connection (simple protocol: no parameters). */
export interface SimpleQueryClient {
  query(text: string): Promise<{ rows: Record<string, unknown>[] }>
}

export interface PreparedSlot {
  readonly systemId: bigint
  readonly timeline: number
  /** The slot's `confirmed_flush_lsn`. */
  readonly startLsn: Lsn
  /** The end of the WAL on the server's disk. */
  readonly walEndLsn: Lsn
  readonly remembered: RememberedSlot | undefined
  readonly acceptedGap: boolean
  /** 0 = the server never times out. */
  readonly walSenderTimeoutMs: number
}

/** One of several hosts, and not the one that takes writes: try the next. */
export class NotPrimaryError extends Error {
  override readonly name = 'NotPrimaryError'
}

interface SlotRow {
  plugin: string | null
  slot_type: string
  active: string
  database: string | null
  temporary: string
  two_phase: string
  wal_status: string | null
  confirmed_flush_lsn: string | null
}

/**
 * Makes sure that publication and slot are there and usable, over the connection that will stream: publication first,
 * then slot (a slot without its publication fails at the first table write, and up to PostgreSQL 17 for good).
 *
 * @param options.recall what is known of the slot from before: a slot that does not fit it is a gap, not a first start.
 * @param options.acceptGap the operator's word that a gap is known and dealt with.
 * @throws SlotInUseError when another relay streams; RelayHaltError when only an operator can help; the driver's error otherwise.
 */
export async function prepareSlot(client: SimpleQueryClient, options: PrepareOptions): Promise<PreparedSlot> {
  const { slot, publication, logger } = options
  const system = (await identify(client)) as Record<'systemid' | 'timeline' | 'xlogpos' | 'dbname', string>
  const [server] = (
    await client.query(
      "SELECT current_setting('server_version_num') AS version, current_setting('wal_level') AS wal_level, " +
        "(SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout') AS sender_timeout, " +
        'pg_is_in_recovery()::text AS standby',
    )
  ).rows as [{ version: string; wal_level: string; sender_timeout: string; standby: string }]
  checkServer(server)
  if (options.primaryOnly && server.standby === 'true') throw new NotPrimaryError('this server is a standby')
  const identity = { systemId: BigInt(system.systemid), timeline: Number(system.timeline) }

  let row = await findSlot(client, slot)
  // First: somebody else's kind of slot may be active for ever, and there is nothing to stand by for.
  if (row) checkSlot(row, slot, system.dbname)
  // Before anything else is looked at or opened: a relay on standby asks this every second.
  if (row?.active === 'true') throw new SlotInUseError(slot)
  const remembered = await options.recall()
  const acceptedGap = await checkGap(
    client,
    { ...options, remembered },
    { ...identity, confirmedLsn: confirmedLsnOf(row) },
  )
  const published = await publicationExists(client, publication)
  if (row) {
    if (!published)
      throw new RelayHaltError(
        'FACTLIB_PUBLICATION_MISSING',
        EXIT.slotUnusable,
        `publication "${publication}" does not exist, but slot "${slot}" does: run CREATE PUBLICATION ${pg.escapeIdentifier(publication)} and start again (or set PUBLICATION_NAME)`,
      )
  } else {
    refuseToCreate(options, remembered)
    if (!published) await createPublication(client, publication, logger)
    await createSlot(client, slot, options.slotFailover && Number(server.version) >= 170_000)
    logger.warn({ slot, publication }, 'created the replication slot: facts emitted before this moment are not in it')
    row = await findSlot(client, slot)
  }
  return {
    ...identity,
    startLsn: confirmedLsnOf(row) ?? ZERO_LSN,
    walEndLsn: parseLsn(system.xlogpos),
    remembered,
    acceptedGap,
    walSenderTimeoutMs: Number(server.sender_timeout),
  }
}

export type PrepareOptions = Pick<
  RelaySettings,
  'slot' | 'publication' | 'slotCreate' | 'acceptGap' | 'slotFailover'
> & {
  /** With several hosts: only the one that takes writes has the slot. */
  readonly primaryOnly: boolean
  readonly recall: () => Promise<RememberedSlot | undefined>
  readonly logger: RelayLogger
}

function confirmedLsnOf(row: SlotRow | undefined): Lsn | undefined {
  return row ? parseLsn(row.confirmed_flush_lsn ?? '0/0') : undefined
}

async function checkGap(
  client: SimpleQueryClient,
  options: PrepareOptions & { readonly remembered: RememberedSlot | undefined },
  found: Omit<FoundSlot, 'history'>,
): Promise<boolean> {
  const { remembered, slot, slotCreate, acceptGap, logger } = options
  if (!remembered) return false
  const history =
    remembered.timeline === found.timeline ? new Map<number, Lsn>() : await readHistory(client, found.timeline)
  const gap = findGap(remembered, { ...found, history })
  if (gap === undefined) return false
  const created = found.confirmedLsn === undefined && slotCreate === 'always'
  if (!acceptGap && !created) throw gapError(slot, gap)
  logger.warn({ slot }, `going on over a gap, as told: replication slot "${slot}": ${gap}`)
  return true
}

async function readHistory(client: SimpleQueryClient, timeline: number): Promise<ReadonlyMap<number, Lsn>> {
  try {
    const [row] = (await client.query(`TIMELINE_HISTORY ${timeline}`)).rows
    return parseTimelineHistory(String(row?.['content'] ?? ''))
  } catch (error) {
    // 58P01: timeline 1 has no history file.
    if ((error as { code?: string }).code === '58P01') return new Map()
    throw error
  }
}

async function createSlot(client: SimpleQueryClient, slot: string, failover: boolean): Promise<void> {
  const name = pg.escapeLiteral(slot)
  await client.query(
    failover
      ? `SELECT pg_create_logical_replication_slot(${name}, 'pgoutput', false, false, true) AS created`
      : `SELECT pg_create_logical_replication_slot(${name}, 'pgoutput') AS created`,
  )
}

async function identify(client: SimpleQueryClient): Promise<Record<string, unknown>> {
  try {
    const [row] = (await client.query('IDENTIFY_SYSTEM')).rows
    return row as Record<string, unknown>
  } catch (error) {
    throw poolerError(error) ?? error
  }
}

/** Poolers do not speak the replication protocol; their answers differ, none of them says so. */
export function poolerError(error: unknown): RelayHaltError | undefined {
  const message = error instanceof Error ? error.message : String(error)
  if (
    !/syntax error at or near "(IDENTIFY_SYSTEM|START_REPLICATION)"|unsupported startup parameter: replication|replication.*not (supported|allowed).*pool/i.test(
      message,
    )
  )
    return undefined
  return new RelayHaltError(
    'FACTLIB_SERVER_UNFIT',
    EXIT.serverUnfit,
    'the database URL leads to a connection pooler, which cannot do replication: use the direct URL of PostgreSQL',
    { cause: error },
  )
}

function checkServer(server: { version: string; wal_level: string }): void {
  const unfit = (message: string) => new RelayHaltError('FACTLIB_SERVER_UNFIT', EXIT.serverUnfit, message)
  if (Number(server.version) < 140_000)
    throw unfit(
      `PostgreSQL 14 or newer is needed (the server says ${server.version}): older ones do not stream messages`,
    )
  if (server.wal_level !== 'logical')
    throw unfit(`wal_level is "${server.wal_level}": run ALTER SYSTEM SET wal_level = 'logical' and restart PostgreSQL`)
}

async function findSlot(client: SimpleQueryClient, slot: string): Promise<SlotRow | undefined> {
  const { rows } = await client.query(
    'SELECT plugin, slot_type, active::text, database, temporary::text, two_phase::text, wal_status, confirmed_flush_lsn::text ' +
      `FROM pg_replication_slots WHERE slot_name = ${pg.escapeLiteral(slot)}`,
  )
  return rows[0] as SlotRow | undefined
}

async function publicationExists(client: SimpleQueryClient, publication: string): Promise<boolean> {
  const { rows } = await client.query(`SELECT 1 FROM pg_publication WHERE pubname = ${pg.escapeLiteral(publication)}`)
  return rows.length > 0
}

async function createPublication(client: SimpleQueryClient, publication: string, logger: RelayLogger): Promise<void> {
  try {
    await client.query(`CREATE PUBLICATION ${pg.escapeIdentifier(publication)}`)
    logger.info({ publication }, 'created the publication')
  } catch (error) {
    // 42710, 23505: another relay was faster.
    const code = (error as { code?: string }).code
    if (code !== '42710' && code !== '23505') throw error
  }
}

function refuseToCreate({ slot, slotCreate, acceptGap }: PrepareOptions, remembered: RememberedSlot | undefined): void {
  if (slotCreate !== 'never' || (acceptGap && remembered)) return
  throw new RelayHaltError(
    'FACTLIB_SLOT_MISSING',
    EXIT.slotGone,
    `replication slot "${slot}" does not exist and SLOT_CREATE=never: run SELECT pg_create_logical_replication_slot(${pg.escapeLiteral(slot)}, 'pgoutput')`,
  )
}

function checkSlot(row: SlotRow, slot: string, database: string): void {
  const problems: string[] = []
  if (row.slot_type !== 'logical') problems.push('it is a physical slot')
  else {
    if (row.plugin !== 'pgoutput') problems.push(`its plugin is "${row.plugin}", not "pgoutput"`)
    if (row.database !== database)
      problems.push(`it belongs to database "${row.database}", we are connected to "${database}"`)
  }
  if (row.temporary === 'true') problems.push('it is temporary')
  if (row.two_phase === 'true') problems.push('it was created with two_phase')
  if (problems.length > 0)
    throw new RelayHaltError(
      'FACTLIB_SLOT_UNUSABLE',
      EXIT.slotUnusable,
      `replication slot "${slot}" cannot be used: ${problems.join('; ')}. Set REPLICATION_SLOT_NAME to a slot of its own`,
    )
  if (row.wal_status === 'lost')
    throw new RelayHaltError(
      'FACTLIB_SLOT_GONE',
      EXIT.slotGone,
      `replication slot "${slot}" is lost (PostgreSQL removed WAL that it needed): facts since then cannot be read any more. Recover them, drop the slot, start with SLOT_CREATE=always, and raise max_slot_wal_keep_size`,
    )
}
