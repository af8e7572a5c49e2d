import type { SqlQuery } from './executor.ts'

/** What to look for, beyond the server's settings. */
export interface CheckEmissionOptions {
  /** The relay's slot. Default: any slot of this database that can carry facts. */
  readonly slot?: string | undefined
  /** The relay's publication. Default: not looked for. */
  readonly publication?: string | undefined
}

/** One thing that was found: a code that never changes its meaning, what is wrong, and what to do. */
export interface EmissionFinding {
  readonly code: string
  readonly message: string
  readonly remedy: string
}

export interface EmissionCheck {
  /** No problem was found. */
  readonly ok: boolean
  /** Facts that are emitted now would be lost, or emitting would fail. */
  readonly problems: readonly EmissionFinding[]
  /** Facts are safe, but somebody should look. */
  readonly warnings: readonly EmissionFinding[]
}

const SERVER =
  "SELECT current_setting('wal_level') AS wal_level, current_setting('server_version_num') AS version," +
  ' pg_is_in_recovery()::text AS in_recovery, current_database()::text AS database'
const SLOTS =
  'SELECT slot_name::text, plugin::text, database::text, wal_status::text, active::text, temporary::text' +
  ' FROM pg_replication_slots ORDER BY slot_name'
const PUBLICATIONS = 'SELECT pubname::text FROM pg_publication'

export interface ServerState {
  readonly wal_level: string
  /** `server_version_num`, such as 150018. */
  readonly version: string
  readonly in_recovery: string
  readonly database: string
}

export interface SlotState {
  readonly slot_name: string
  readonly plugin: string | null
  readonly database: string | null
  readonly wal_status: string | null
  readonly active: string
  readonly temporary: string
}

/**
 * Whether facts that are emitted through this connection would reach a relay: before its slot exists, and without
 * `wal_level = logical`, emitting succeeds and the fact is lost. For a service's start-up; it only reads.
 *
 * @example
 * ```ts
 * const check = await checkEmission((text) => pool.query(text).then(({ rows }) => rows), { slot: 'factlib_slot' })
 * if (!check.ok) throw new Error(check.problems.map((problem) => `${problem.message}: ${problem.remedy}`).join('\n'))
 * ```
 * @throws whatever the query throws.
 */
export async function checkEmission(query: SqlQuery, options: CheckEmissionOptions = {}): Promise<EmissionCheck> {
  const server = (await query(SERVER))[0] as unknown as ServerState
  // pg_replication_slots has no wal_status before 13; there is nothing to find on a server that old.
  const slots = Number(server.version) >= 130_000 ? ((await query(SLOTS)) as unknown as SlotState[]) : []
  const publications = options.publication === undefined ? [] : await query(PUBLICATIONS)
  return judgeEmission(
    server,
    slots,
    publications.map(({ pubname }) => pubname),
    options,
  )
}

/** The verdict on what the queries gave. */
export function judgeEmission(
  server: ServerState,
  slots: readonly SlotState[],
  publications: readonly unknown[],
  options: CheckEmissionOptions,
): EmissionCheck {
  const problems: EmissionFinding[] = []
  const warnings: EmissionFinding[] = []
  const major = Math.floor(Number(server.version) / 10_000)
  if (major < 14) {
    problems.push({
      code: 'SERVER_TOO_OLD',
      message: `PostgreSQL ${major} does not hand logical messages to pgoutput`,
      remedy: 'use PostgreSQL 14 or newer',
    })
  }
  if (server.in_recovery === 'true') {
    problems.push({
      code: 'SERVER_IN_RECOVERY',
      message: 'this server is a standby: it takes no writes, and no facts',
      remedy: 'connect to the primary',
    })
  }
  if (server.wal_level !== 'logical') {
    problems.push({
      code: 'WAL_LEVEL',
      message: `wal_level is ${server.wal_level}: emitting succeeds, and every fact is lost`,
      remedy: "ALTER SYSTEM SET wal_level = 'logical', then restart PostgreSQL",
    })
  }
  if (major >= 13) checkSlots(slots, server.database, options.slot, problems, warnings)
  if (options.publication !== undefined && !publications.includes(options.publication)) {
    problems.push({
      code: 'PUBLICATION_MISSING',
      message: `the publication ${options.publication} does not exist in the database ${server.database}`,
      remedy: `npx factlib-relay setup makes it; or, before the slot and without tables: CREATE PUBLICATION "${options.publication.replaceAll('"', '""')}"`,
    })
  }
  return { ok: problems.length === 0, problems, warnings }
}

/** What the relay calls it where nobody says otherwise. */
const RELAY_SLOT = 'factlib_slot'

const createSlot = (name: string) =>
  `npx factlib-relay setup makes it, before the service emits; or SELECT pg_create_logical_replication_slot('${name.replaceAll("'", "''")}', 'pgoutput')`

function checkSlots(
  slots: readonly SlotState[],
  database: string,
  wanted: string | undefined,
  problems: EmissionFinding[],
  warnings: EmissionFinding[],
): void {
  if (wanted === undefined) {
    const fit = slots.filter((slot) => unfit(slot, database) === undefined)
    // A slot of this very database that cannot be read any more says more than that there is none.
    const nearly = slots.map((slot) => unfit(slot, database)).filter((finding) => finding?.code === 'SLOT_LOST')
    if (fit.length === 0 && nearly[0] !== undefined) problems.push(nearly[0])
    else if (fit.length === 0) {
      problems.push({
        code: 'NO_SLOT',
        message: `no slot of the database ${database} can carry facts: emitting succeeds, and every fact is lost`,
        remedy: createSlot(RELAY_SLOT),
      })
    }
    if (fit.length === 1) warn(fit[0]!, warnings)
    return
  }
  const slot = slots.find(({ slot_name }) => slot_name === wanted)
  if (slot === undefined) {
    problems.push({
      code: 'SLOT_MISSING',
      message: `the slot ${wanted} does not exist: emitting succeeds, and every fact is lost`,
      remedy: createSlot(wanted),
    })
    return
  }
  const reason = unfit(slot, database)
  if (reason === undefined) warn(slot, warnings)
  else problems.push(reason)
}

function unfit(slot: SlotState, database: string): EmissionFinding | undefined {
  if (slot.plugin !== 'pgoutput') {
    return {
      code: 'SLOT_OTHER_PLUGIN',
      message: `the slot ${slot.slot_name} is ${slot.plugin === null ? 'a physical one' : `of the plugin ${slot.plugin}`}`,
      remedy: 'give the relay a logical slot of the plugin pgoutput, under another name',
    }
  }
  if (slot.database !== database) {
    return {
      code: 'SLOT_OTHER_DATABASE',
      message: `the slot ${slot.slot_name} belongs to the database ${slot.database}, this is ${database}`,
      remedy: 'a slot carries the facts of one database: create one here, under another name',
    }
  }
  if (slot.wal_status === 'lost') {
    return {
      code: 'SLOT_LOST',
      message: `the slot ${slot.slot_name} is lost: the WAL that it needs is gone, and with it facts`,
      remedy: 'find out what was lost, drop the slot and create it again; see max_slot_wal_keep_size',
    }
  }
  if (slot.temporary === 'true') {
    return {
      code: 'SLOT_TEMPORARY',
      message: `the slot ${slot.slot_name} is temporary: it ends with its connection`,
      remedy: 'create a permanent one',
    }
  }
  return undefined
}

function warn(slot: SlotState, warnings: EmissionFinding[]): void {
  if (slot.wal_status === 'unreserved') {
    warnings.push({
      code: 'SLOT_UNRESERVED',
      message: `the slot ${slot.slot_name} will be lost at the next checkpoint if its relay does not catch up`,
      remedy: 'raise max_slot_wal_keep_size now, and look at the relay',
    })
  }
  if (slot.active === 'false') {
    warnings.push({
      code: 'SLOT_INACTIVE',
      message: `no relay reads the slot ${slot.slot_name} now: facts wait in the WAL`,
      remedy: 'start the relay',
    })
  }
}
