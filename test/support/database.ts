import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import { registerCleanup } from './cleanup.ts'
import { waitFor } from './wait.ts'

export interface TestDatabase {
  /** For clients of its own; with password. */
  readonly url: string
  readonly name: string
  /** At most 10 connections. */
  readonly pool: pg.Pool
  query<Row extends pg.QueryResultRow = pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>
  /** Called by itself; fails when a slot or a foreign connection was left behind, and drops the database all the same. */
  drop(): Promise<void>
}

export interface DatabaseOptions {
  /** Superuser's URL of the server. Default: the server of the run (18). */
  readonly postgresUrl?: string
  /** A database to copy, with its tables and rows; nobody may be connected to it. */
  readonly template?: string
}

/**
 * A database of its own for this test or this file, dropped at its end.
 *
 * A slot or a connection that is left behind then fails the test or file, by name.
 *
 * @example
 * let database: TestDatabase
 * beforeAll(async () => { database = await createDatabase() })
 */
export async function createDatabase(options: DatabaseOptions = {}): Promise<TestDatabase> {
  const { postgresUrl = inject('postgresUrl'), template } = options
  const name = `factlib_${randomBytes(6).toString('hex')}`
  await withClient(postgresUrl, (client) =>
    client.query(`CREATE DATABASE ${name}${template ? ` TEMPLATE ${pg.escapeIdentifier(template)}` : ''}`),
  )
  const url = new URL(postgresUrl)
  url.pathname = `/${name}`
  const pool = new pg.Pool({ connectionString: url.href, max: 10, application_name: 'factlib-test-support' })
  // A test that stops the server breaks idle connections; the pool replaces them.
  pool.on('error', () => {})
  let dropped: Promise<void> | undefined
  const database: TestDatabase = {
    url: url.href,
    name,
    pool,
    async query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]> {
      return (await pool.query<Row>(text, values)).rows
    },
    drop() {
      dropped ??= dropDatabase(postgresUrl, name, pool)
      return dropped
    },
  }
  // Dropped by hand: whoever did it has had the answer.
  registerCleanup(() => (dropped ? undefined : database.drop()))
  return database
}

async function dropDatabase(postgresUrl: string, name: string, pool: pg.Pool): Promise<void> {
  const borrowed = pool.totalCount - pool.idleCount
  // end() would wait for ever for a client that was never released.
  const ended = pool.end()
  if (borrowed === 0) await ended
  await withClient(postgresUrl, async (client) => {
    const leaks = [...(await leakedConnections(client, name)), ...(await leakedSlots(client, name))]
    await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    if (leaks.length > 0) throw new Error(`left behind in the test's database ${name}: ${leaks.join('; ')}`)
  })
}

/** Closing is asynchronous on the server: what is gone within 2 s was closed. */
async function leakedConnections(client: pg.Client, name: string): Promise<string[]> {
  const connections = async (): Promise<string[]> => {
    const { rows } = await client.query<{ text: string }>(
      `SELECT format('connection %s (%s, application_name %L, %s)', pid, backend_type, application_name, coalesce(state, '-')) AS text
       FROM pg_stat_activity WHERE datname = $1 AND backend_type IN ('client backend', 'walsender') ORDER BY pid`,
      [name],
    )
    return rows.map((row) => row.text)
  }
  try {
    await waitFor(async () => (await connections()).length === 0, { what: 'connections to close', timeoutMs: 2_000 })
    return []
  } catch {
    return connections()
  }
}

/** Names the slots that are still there, and drops them, or the database could not be dropped. */
async function leakedSlots(client: pg.Client, name: string): Promise<string[]> {
  const { rows } = await client.query<{ slot: string; pid: number | null }>(
    'SELECT slot_name AS slot, active_pid AS pid FROM pg_replication_slots WHERE database = $1 ORDER BY 1',
    [name],
  )
  for (const { slot } of rows) await dropSlot(client, slot)
  return rows.map(({ slot, pid }) => `slot ${slot}${pid === null ? '' : ` (held by pid ${pid})`}`)
}

/** Drops a slot, ending whoever holds it. */
async function dropSlot(client: pg.Client, slot: string): Promise<void> {
  await waitFor(
    async () => {
      await client.query(
        'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL',
        [slot],
      )
      await client.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1', [
        slot,
      ])
      return true
    },
    { what: `slot ${slot} to be dropped`, timeoutMs: 5_000 },
  )
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'factlib-test-support' })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
