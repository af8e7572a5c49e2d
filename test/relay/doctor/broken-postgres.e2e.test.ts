import pg from 'pg'
import { beforeAll, describe, expect, it } from 'vitest'
import { setup } from '../../../relay/cli/setup.ts'
import { parseRelayOptions } from '../../../relay/config/settings.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { startPgBouncer } from '../../support/services/pgbouncer.ts'
import { type PostgresServer, startPostgres } from '../../support/services/postgres.ts'
import { waitFor } from '../../support/wait.ts'
import { captureTerminal } from '../cli/captured-terminal.ts'
import { createBench, type RelayBench } from '../relay-bench.ts'
import { examine, expectBroken, optionsOf } from './broken-setup.ts'

// One PostgreSQL whose own settings are broken, one after the other.

let server: PostgresServer

beforeAll(async () => {
  server = await startPostgres({ name: 'doctor', settings: { checkpoint_timeout: '1h' } })
  registerCleanup(() => server.remove())
})

async function asSuperuser(...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: server.url, application_name: 'factlib-test-support' })
  await client.connect()
  try {
    for (const sql of statements) await client.query(sql)
  } finally {
    await client.end()
  }
}

/** Sets and restarts; put back at the end of the test. */
async function restartWith(settings: Readonly<Record<string, string>>): Promise<void> {
  const change = async (sql: (name: string, value: string) => string) => {
    await asSuperuser(...Object.entries(settings).map(([name, value]) => sql(name, value)))
    await server.stop('fast')
    await server.start()
  }
  registerCleanup(() => change((name) => `ALTER SYSTEM RESET ${name}`))
  await change((name, value) => `ALTER SYSTEM SET ${name} = '${value}'`)
}

async function reloadWith(settings: Readonly<Record<string, string>>): Promise<void> {
  const change = async (sql: (name: string, value: string) => string) =>
    asSuperuser(...Object.entries(settings).map(([name, value]) => sql(name, value)), 'SELECT pg_reload_conf()')
  registerCleanup(() => change((name) => `ALTER SYSTEM RESET ${name}`))
  await change((name, value) => `ALTER SYSTEM SET ${name} = '${value}'`)
}

async function shown(name: string, value: string, bench: RelayBench): Promise<void> {
  await waitFor(async () => (await bench.database.query(`SHOW ${name}`))[0]?.[name] === value, {
    what: `${name} = ${value}`,
  })
}

async function prepare(bench: RelayBench): Promise<void> {
  expect(await setup(parseRelayOptions(optionsOf(bench), { env: {} }), {}, captureTerminal())).toBe(0)
}

describe('a PostgreSQL that is set up wrongly', () => {
  it('wal_level=replica', async () => {
    const bench = await createBench({ postgresUrl: server.url })
    // A server with a logical slot would not start like that.
    await bench.oracle.drop()
    await restartWith({ wal_level: 'replica' })
    await expectBroken(bench, {
      code: 'WAL_LEVEL',
      what: /"replica"/,
      remedy: /ALTER SYSTEM SET wal_level = 'logical'/,
      run: 12,
    })
    const terminal = captureTerminal()
    expect(await setup(parseRelayOptions(optionsOf(bench), { env: {} }), { json: true }, terminal)).toBe(1)
    expect(terminal.json()['obstacles']).toEqual([expect.stringContaining('wal_level is "replica"')])
  })

  it('no free slot', async () => {
    const bench = await createBench({ postgresUrl: server.url })
    await restartWith({ max_replication_slots: '1' })
    await expectBroken(bench, {
      code: 'NO_FREE_SLOT',
      what: /all 1 slots/,
      remedy: /max_replication_slots = 6/,
      run: /all replication slots are in use/,
    })
  })

  it('no free sender', async () => {
    const bench = await createBench({ postgresUrl: server.url })
    await prepare(bench)
    await restartWith({ max_wal_senders: '1' })
    const standby = new pg.Client({
      connectionString: server.url,
      application_name: 'somebody',
      ...({ replication: 'true' } as object),
    })
    await standby.connect()
    const end = () => standby.end()
    registerCleanup(end)
    await expectBroken(bench, {
      code: 'NO_FREE_SENDER',
      remedy: /max_wal_senders = 6/,
      run: /requested standby connections exceeds/,
    })
  })

  it('a slot that was lost to max_slot_wal_keep_size', async () => {
    const bench = await createBench({ postgresUrl: server.url })
    await prepare(bench)
    await reloadWith({ max_slot_wal_keep_size: '16MB' })
    await shown('max_slot_wal_keep_size', '16MB', bench)
    const low = await examine(bench)
    expect(low.findings).toContainEqual(expect.objectContaining({ code: 'WAL_BUDGET', level: 'ok' }))
    for (let segment = 0; segment < 4; segment++) {
      await bench.database.query(
        "SELECT pg_logical_emit_message(false, 'noise', repeat('x', 1000000)), pg_switch_wal()",
      )
    }
    const unreserved = await examine(bench)
    expect(unreserved.findings).toContainEqual(expect.objectContaining({ code: 'SLOT_UNRESERVED', level: 'warning' }))
    expect(unreserved.findings).toContainEqual(expect.objectContaining({ code: 'WAL_BUDGET_LOW', level: 'warning' }))
    await bench.database.query('CHECKPOINT')
    await expectBroken(bench, {
      code: 'SLOT_LOST',
      what: /wal_removed/,
      remedy: /raise max_slot_wal_keep_size/,
      run: 10,
    })
  })

  it('a synchronous standby of our name', async () => {
    const bench = await createBench({ postgresUrl: server.url })
    await bench.createSlot()
    await bench.whenSlotFree()
    await reloadWith({ synchronous_standby_names: 'FIRST 1 ("factlib-relay")' })
    await shown('synchronous_standby_names', 'FIRST 1 ("factlib-relay")', bench)
    await expectBroken(bench, {
      code: 'SYNC_STANDBY',
      what: /"factlib-relay"/,
      remedy: /synchronous_standby_names/,
      run: 11,
    })
  })

  it('an idle timeout that takes the slot of a relay that is down', async () => {
    const bench = await createBench({ postgresUrl: server.url })
    await prepare(bench)
    await reloadWith({ idle_replication_slot_timeout: '10min' })
    await shown('idle_replication_slot_timeout', '10min', bench)
    await expectBroken(bench, {
      code: 'IDLE_TIMEOUT_SET',
      level: 'warning',
      what: /600 s/,
      remedy: /idle_replication_slot_timeout = '0'/,
      run: 'works',
    })
  })

  it('a pooler instead of the server itself', async () => {
    const bench = await createBench({ postgresUrl: server.url })
    const bouncer = await startPgBouncer({ postgresUrl: server.url })
    registerCleanup(() => bouncer.remove())
    const databaseUrl = bouncer.urlOf(bench.database.name)
    await expectBroken(
      bench,
      { code: 'POOLER', what: /is a connection pooler/, remedy: /direct address/, run: 12 },
      { databaseUrl },
    )
  })
})
