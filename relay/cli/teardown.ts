import pg from 'pg'
import { connectPostgres, describeError, type PostgresConnection } from '../doctor/postgres-connection.ts'
import type { RelaySettings } from '../types.ts'
import { CliError, COMMAND_EXIT } from './cli-error.ts'
import { formatBytes, jsonLine, type Terminal } from './terminal.ts'

export interface TeardownCommandOptions {
  readonly yes?: boolean
  readonly json?: boolean
  /** The publication too. */
  readonly publication?: boolean
}

interface Found {
  readonly slot: boolean
  readonly activePid: number | null
  readonly holder: string | null
  readonly unreadBytes: number
  readonly database: string
  readonly slotDatabase: string | null
  readonly published: boolean
  readonly publishedTables: number
  readonly memory: boolean
}

/** `factlib-relay teardown`: drops the slot and what is remembered of it, after a question; refuses while a relay holds it. */
export async function teardown(
  settings: RelaySettings,
  options: TeardownCommandOptions,
  terminal: Terminal,
): Promise<number> {
  const { slot, publication } = settings
  const connection = await connectPostgres(settings.database).catch((error: unknown) => {
    throw new CliError(`cannot connect to PostgreSQL: ${describeError(error)}`, { cause: error })
  })
  try {
    const found = await look(connection, slot, publication)
    const dropsPublication = options.publication === true && found.published
    if (found.slot && found.slotDatabase !== null && found.slotDatabase !== found.database)
      throw new CliError(
        `replication slot "${slot}" belongs to database "${found.slotDatabase}", and we are connected to "${found.database}": it is not ours to drop`,
      )
    if (found.activePid !== null)
      throw new CliError(
        `replication slot "${slot}" is held by pid ${found.activePid}${found.holder === null ? '' : ` (${found.holder})`}: stop that relay first`,
      )
    if (dropsPublication && found.publishedTables > 0)
      throw new CliError(
        `publication "${publication}" has ${found.publishedTables} tables, so it is not the relay's alone: drop it by hand`,
      )
    if (!found.slot && !found.memory && !dropsPublication) {
      terminal.write(options.json ? jsonLine(outcome(false, false, false)) : 'Nothing to do: the slot is not there.\n')
      return COMMAND_EXIT.done
    }
    if (options.yes !== true && !(await terminal.confirm(question(found, slot, publication, dropsPublication)))) {
      terminal.note('Nothing was changed.\n')
      return COMMAND_EXIT.failed
    }
    // The slot first: were it to fail, its memory must still be there.
    if (found.slot) await run(connection, `SELECT pg_drop_replication_slot(${pg.escapeLiteral(slot)})`, slot)
    if (found.memory)
      await run(connection, `DELETE FROM factlib.relay_slots WHERE slot = ${pg.escapeLiteral(slot)}`, slot)
    if (dropsPublication) await run(connection, `DROP PUBLICATION ${pg.escapeIdentifier(publication)}`, slot)
    if (options.json) terminal.write(jsonLine(outcome(found.slot, found.memory, dropsPublication)))
    else {
      if (found.slot) terminal.write(`- replication slot "${slot}": dropped\n`)
      if (found.memory) terminal.write(`- memory of "${slot}": forgotten\n`)
      if (dropsPublication) terminal.write(`- publication "${publication}": dropped\n`)
      terminal.write(
        'Facts that are emitted from now on go nowhere, until `factlib-relay setup` or the next start of a relay.\n',
      )
    }
    return COMMAND_EXIT.done
  } finally {
    await connection.close()
  }
}

function outcome(slotDropped: boolean, memoryForgotten: boolean, publicationDropped: boolean) {
  return { ok: true, slotDropped, memoryForgotten, publicationDropped }
}

async function look({ query }: PostgresConnection, slot: string, publication: string): Promise<Found> {
  const [row] = (await query(
    `SELECT s.slot_name IS NOT NULL AS slot, s.active_pid AS "activePid", s.database::text AS "slotDatabase",
       current_database()::text AS database,
       nullif(concat_ws(' ', a.application_name, host(a.client_addr)), '') AS holder,
       coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
         s.confirmed_flush_lsn), 0)::float8 AS "unreadBytes",
       EXISTS (SELECT FROM pg_publication WHERE pubname = $2) AS published,
       (SELECT count(*) FROM pg_publication_tables WHERE pubname = $2)::int AS "publishedTables",
       to_regclass('factlib.relay_slots') IS NOT NULL AS memory
     FROM (SELECT $1::name AS name) wanted
     LEFT JOIN pg_replication_slots s ON s.slot_name = wanted.name
     LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid`,
    [slot, publication],
  )) as unknown as [Found]
  if (!row.memory) return row
  const rows = await query('SELECT FROM factlib.relay_slots WHERE slot = $1', [slot]).catch(() => [])
  return { ...row, memory: rows.length > 0 }
}

function question(found: Found, slot: string, publication: string, dropsPublication: boolean): string {
  const parts = [
    ...(found.slot
      ? [
          `Replication slot "${slot}" of database "${found.database}" will be dropped. ${formatBytes(found.unreadBytes)} of WAL after its confirmed position were not read: facts in there are LOST for Kafka.`,
        ]
      : []),
    ...(found.memory
      ? [`What is remembered of "${slot}" will be forgotten: the next relay starts as if it were the first.`]
      : []),
    ...(dropsPublication ? [`Publication "${publication}" will be dropped.`] : []),
  ]
  return `${parts.join('\n')}\n`
}

async function run({ query }: PostgresConnection, sql: string, slot: string): Promise<void> {
  try {
    await query(sql)
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (code === '55006') throw new CliError(`replication slot "${slot}" was taken by a relay just now: stop it first`)
    throw new CliError(`${sql}: ${describeError(error)}`, { cause: error })
  }
}
