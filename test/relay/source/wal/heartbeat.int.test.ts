import { beforeAll, expect, it } from 'vitest'
import { Heartbeat } from '../../../../relay/source/wal/heartbeat.ts'
import type { QueryClient } from '../../../../relay/source/wal/slot-memory.ts'
import { registerCleanup } from '../../../support/cleanup.ts'
import { createDatabase, type TestDatabase } from '../../../support/database.ts'
import { type PostgresServer, startPostgres } from '../../../support/services/postgres.ts'
import { createSlot } from '../../../support/slot.ts'
import { waitFor } from '../../../support/wait.ts'

// On a server of its own: WAL is the server's, and other tests write to it.
let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres({ name: 'heartbeat', settings: { autovacuum: 'off' } })
  registerCleanup(() => server.remove())
})

function heartbeatOn(database: TestDatabase, everyMs = 20) {
  let asked = 0
  const refusals: Error[] = []
  const client: QueryClient = {
    query: async (text, values) => {
      const { rows } = await database.pool.query(text, values)
      asked++
      return { rows }
    },
  }
  const heartbeat = new Heartbeat({ client, everyMs, onUnable: (error) => refusals.push(error) })
  registerCleanup(() => heartbeat.close())
  return {
    heartbeat,
    refusals,
    /** Resolves after so many more questions. */
    async whenAsked(more: number) {
      const until = asked + more
      await waitFor(() => asked >= until, { what: 'the heartbeat to ask' })
    },
  }
}

it('is written once on an idle server, and again when somebody else has written', async () => {
  const database = await createDatabase({ postgresUrl: server.url })
  const slot = await createSlot(database)
  const heartbeats = async () => (await slot.peek()).filter(({ prefix }) => prefix === 'factlib.heartbeat')
  await database.query('CREATE TABLE filler (text text)')
  const { heartbeat, whenAsked } = heartbeatOn(database)
  heartbeat.start()
  await whenAsked(1)
  const [first] = await waitFor(async () => ((await heartbeats()).length > 0 ? heartbeats() : undefined), {
    what: 'the first heartbeat',
  })
  heartbeat.returned(first?.content as Buffer)
  expect(heartbeat.state).toMatchObject({ sentAtMs: undefined, failure: undefined })
  expect(heartbeat.state.lastSeconds).toBeGreaterThan(0)

  await whenAsked(10)
  expect(await heartbeats()).toHaveLength(1)

  await database.query("INSERT INTO filler SELECT repeat('x', 100) FROM generate_series(1, 200)")
  await waitFor(async () => (await heartbeats()).length === 2, { what: 'the second heartbeat' })
  // Under way: no further one before it is back, whatever is written.
  expect(heartbeat.state.sentAtMs).toBeDefined()
  await database.query("INSERT INTO filler SELECT repeat('x', 100) FROM generate_series(1, 200)")
  expect(await heartbeats()).toHaveLength(2)
  heartbeat.returned(Buffer.from('another relay'))
  expect(heartbeat.state.sentAtMs).toBeDefined()
})

it('says once where the role may not write it, and goes on without', async () => {
  const database = await createDatabase({ postgresUrl: server.url })
  await database.query('CREATE ROLE nobody_of_note')
  registerCleanup(() => database.query('DROP OWNED BY nobody_of_note; DROP ROLE nobody_of_note').then(() => {}))
  await database.query('REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA pg_catalog FROM PUBLIC')
  await database.query('GRANT EXECUTE ON FUNCTION pg_wal_lsn_diff, pg_current_wal_insert_lsn TO nobody_of_note')
  const refusals: Error[] = []
  const client: QueryClient = {
    query: async (text, values) => {
      const one = await database.pool.connect()
      try {
        await one.query('SET ROLE nobody_of_note')
        return await one.query(text, values)
      } finally {
        await one.query('RESET ROLE')
        one.release()
      }
    },
  }
  const heartbeat = new Heartbeat({ client, everyMs: 5, onUnable: (error) => refusals.push(error) })
  registerCleanup(() => heartbeat.close())
  heartbeat.start()
  await waitFor(() => refusals.length > 0, { what: 'the refusal' })
  expect((refusals[0] as Error & { code?: string }).code).toBe('42501')
  expect(heartbeat.state).toEqual({ lastSeconds: undefined, sentAtMs: undefined, failure: undefined })
})

it('that cannot be written for a while is a failure with its beginning, and ends', async () => {
  let down = true
  const client: QueryClient = {
    query: async () => {
      if (down) throw new Error('Connection terminated unexpectedly')
      return { rows: [{ lsn: null }] }
    },
  }
  let nowMs = 1_000
  const heartbeat = new Heartbeat({ client, everyMs: 1, onUnable: () => {}, nowMs: () => nowMs })
  registerCleanup(() => heartbeat.close())
  heartbeat.start()
  await waitFor(() => heartbeat.state.failure !== undefined, { what: 'the failure' })
  nowMs = 9_000
  expect(heartbeat.state.failure).toEqual({ sinceMs: 1_000, message: 'Connection terminated unexpectedly' })
  down = false
  await waitFor(() => heartbeat.state.failure === undefined, { what: 'its end' })
})
