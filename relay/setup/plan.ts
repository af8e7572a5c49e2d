import pg from 'pg'
import { SLOT_MEMORY_DDL } from '../source/wal/slot-memory.ts'
import { PROVIDER, type ProviderName } from './providers.ts'

// What has to be run so that a relay can work, from what is there: pure.

/** What setup needs to know of the server. */
export interface SetupState {
  readonly database: string
  readonly version: number
  readonly walLevel: string
  readonly isStandby: boolean
  /** Of whoever runs the setup. */
  readonly self: { readonly role: string; readonly mayCreateRoles: boolean; readonly isSuperuser: boolean }
  /** The role of the relay. */
  readonly role: { readonly exists: boolean; readonly mayReplicate: boolean; readonly mayConnect: boolean }
  readonly hasPublication: boolean
  readonly slot: SetupSlot | undefined
  readonly memory: {
    readonly exists: boolean
    readonly mayUse: boolean
    /** A row of our slot is in it. */
    readonly remembersSlot: boolean
  }
  readonly seesStatistics: boolean
  readonly slots: { readonly used: number; readonly max: number }
}

export interface SetupSlot {
  readonly plugin: string | null
  readonly database: string | null
  readonly slotType: string
  readonly temporary: boolean
  readonly twoPhase: boolean
  readonly lost: boolean
  readonly active: boolean
}

export interface SetupOptions {
  readonly slot: string
  readonly publication: string
  readonly role: string
  readonly failover: boolean
  readonly provider: ProviderName
  /** A SCRAM verifier, never the password; absent: the role is made without a password. */
  readonly passwordVerifier?: string | undefined
}

export interface SetupStep {
  readonly what: string
  readonly there: boolean
  readonly sql: readonly string[]
  /** Instead of `sql` where somebody may read it. */
  readonly shown?: readonly string[]
  /** The relay works without it, less well: why it is wanted. */
  readonly optional?: string
}

export interface SetupPlan {
  readonly steps: readonly SetupStep[]
  /** Nothing may be run while there is one. */
  readonly obstacles: readonly string[]
}

/** A server with nothing on it: the plan of a dry run that connects to nobody. */
export const EMPTY_STATE: SetupState = {
  database: '',
  version: 180_000,
  walLevel: 'logical',
  isStandby: false,
  self: { role: '', mayCreateRoles: true, isSuperuser: true },
  role: { exists: false, mayReplicate: false, mayConnect: false },
  hasPublication: false,
  slot: undefined,
  memory: { exists: false, mayUse: false, remembersSlot: false },
  seesStatistics: false,
  slots: { used: 0, max: 10 },
}

/**
 * The steps in their order: role and rights, memory, publication, and the slot last (a slot that is made before its
 * publication fails at the first table write).
 *
 * @example
 * for (const step of planSetup(state, options).steps) if (!step.there) console.log(step.sql.join(';\n'))
 */
export function planSetup(state: SetupState, options: SetupOptions): SetupPlan {
  const { role, slot, publication } = options
  const name = pg.escapeIdentifier(role)
  const provider = PROVIDER[options.provider]
  const steps: SetupStep[] = [
    {
      what: `role "${role}"`,
      there: state.role.exists,
      sql: [
        `CREATE ROLE ${name} LOGIN${options.passwordVerifier === undefined ? '' : ` PASSWORD ${pg.escapeLiteral(options.passwordVerifier)}`}`,
      ],
      shown: [`CREATE ROLE ${name} LOGIN PASSWORD '…'`],
    },
    {
      what: `role "${role}" may replicate`,
      there: state.role.exists && state.role.mayReplicate,
      sql: [provider.grantReplication(role)],
    },
    {
      what: `role "${role}" may connect to database "${state.database || 'DATABASE'}"`,
      there: state.role.exists && state.role.mayConnect,
      sql: [`GRANT CONNECT ON DATABASE ${pg.escapeIdentifier(state.database || 'DATABASE')} TO ${name}`],
    },
    {
      what: `role "${role}" may see other sessions' statistics`,
      there: state.role.exists && state.seesStatistics,
      sql: [`GRANT pg_read_all_stats TO ${name}`],
      optional: 'without it nobody warns of long transactions, which make PostgreSQL keep WAL',
    },
    {
      what: 'memory table factlib.relay_slots',
      there: state.memory.exists,
      sql: SLOT_MEMORY_DDL,
      optional: 'without it a slot that somebody else moved or recreated goes unnoticed',
    },
    {
      what: `role "${role}" may use the memory table`,
      there: state.role.exists && state.memory.mayUse,
      sql: [
        `GRANT USAGE ON SCHEMA factlib TO ${name}`,
        `GRANT SELECT, INSERT, UPDATE, DELETE ON factlib.relay_slots TO ${name}`,
      ],
      optional: 'without it a slot that somebody else moved or recreated goes unnoticed',
    },
    {
      what: `publication "${publication}" (without tables)`,
      there: state.hasPublication,
      sql: [`CREATE PUBLICATION ${pg.escapeIdentifier(publication)}`],
    },
    {
      what: `replication slot "${slot}"`,
      there: state.slot !== undefined,
      sql: [createSlotSql(slot, options.failover && state.version >= 170_000)],
    },
  ]
  return { steps, obstacles: obstacles(state, options, steps) }
}

function createSlotSql(slot: string, failover: boolean): string {
  return `SELECT pg_create_logical_replication_slot(${pg.escapeLiteral(slot)}, 'pgoutput'${failover ? ', false, false, true' : ''})`
}

function obstacles(state: SetupState, options: SetupOptions, steps: readonly SetupStep[]): string[] {
  const found: string[] = []
  const provider = PROVIDER[options.provider]
  if (provider.impossible !== undefined) found.push(provider.impossible)
  if (state.version < 140_000)
    found.push(`the server is PostgreSQL ${Math.floor(state.version / 10_000)}: 14 or newer is needed`)
  if (state.isStandby) found.push('this server is a standby: give the URL of the primary')
  if (state.walLevel !== 'logical')
    found.push(
      `wal_level is "${state.walLevel}": ${provider.before.find((line) => /wal_level|logical/.test(line)) ?? "ALTER SYSTEM SET wal_level = 'logical' and restart"}`,
    )
  const misfit = state.slot && slotMisfit(state.slot, state.database)
  if (misfit !== undefined) found.push(`replication slot "${options.slot}" is there, but ${misfit}`)
  if (state.slot === undefined && state.memory.remembersSlot)
    found.push(
      `replication slot "${options.slot}" was there and is gone: facts since then are lost. Recover them from the tables, then start the relay once with --accept-gap, or forget the old slot with \`factlib-relay teardown\``,
    )
  if (state.slot === undefined && state.slots.used >= state.slots.max)
    found.push(
      `all ${state.slots.max} replication slots are in use: raise max_replication_slots (needs a restart), or drop one that nobody needs`,
    )
  const forAdmin = steps.slice(0, 3).filter((step) => !step.there)
  if (forAdmin.length > 0 && !state.self.mayCreateRoles)
    found.push(
      `role "${state.self.role}" may not give these rights; have an administrator run, or give their URL in ADMIN_DATABASE_URL:\n${forAdmin.flatMap((step) => (step.shown ?? step.sql).map((sql) => `    ${sql};`)).join('\n')}`,
    )
  return found
}

function slotMisfit(slot: SetupSlot, database: string): string | undefined {
  if (slot.slotType !== 'logical') return 'it is a physical one: set REPLICATION_SLOT_NAME to another name'
  if (slot.plugin !== 'pgoutput') return `its plugin is "${slot.plugin}": set REPLICATION_SLOT_NAME to another name`
  if (slot.database !== database)
    return `it belongs to database "${slot.database}", not "${database}": set REPLICATION_SLOT_NAME to another name`
  if (slot.temporary) return 'it is temporary: set REPLICATION_SLOT_NAME to another name'
  if (slot.twoPhase) return 'it was made with two_phase: set REPLICATION_SLOT_NAME to another name'
  if (slot.lost)
    return 'it is lost: PostgreSQL removed WAL that it needed, and facts with it. Recover them from the tables, then `factlib-relay teardown` and set up again'
  return undefined
}
