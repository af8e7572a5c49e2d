import { readFileSync } from 'node:fs'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { registerCleanup } from '../cleanup.ts'
import { createDatabase } from '../database.ts'
import { createSlot } from '../slot.ts'
import { type PostgresOptions, type PostgresServer, startPostgres } from './postgres.ts'

async function start(options?: PostgresOptions): Promise<PostgresServer> {
  const server = await startPostgres(options)
  registerCleanup(() => server.remove())
  return server
}

async function ask(server: PostgresServer, question: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: server.url })
  client.on('error', () => {})
  await client.connect()
  const { rows } = await client.query(question).finally(() => client.end())
  return Object.values(rows[0] ?? {})[0]
}

test.each([14, 15, 18] as const)(
  'PostgreSQL %i starts, keeps messages in a slot, and drops it all',
  async (version) => {
    const server = await start({ version, settings: { work_mem: '5MB' } })
    expect(await ask(server, 'SHOW server_version')).toMatch(new RegExp(`^${version}\\.`))
    expect(await ask(server, 'SHOW work_mem')).toBe('5MB')
    const database = await createDatabase({ postgresUrl: server.url })
    const slot = await createSlot(database)
    await database.query(`SELECT pg_logical_emit_message(true, 'shop', 'fact')`)
    expect(await slot.read()).toMatchObject([{ prefix: 'shop', content: Buffer.from('fact') }])
  },
)

describe('a server', () => {
  test('comes back on its port with its data after every way to go', async () => {
    const server = await start({ name: 'restarts' })
    await ask(server, 'CREATE TABLE kept AS SELECT 7 AS n')
    const { url } = server
    for (const end of [() => server.stop('fast'), () => server.stop('immediate'), () => server.kill()]) {
      await end()
      expect(server.pid).toBeUndefined()
      await server.start()
      expect(server.url).toBe(url)
      expect(await ask(server, 'SELECT n FROM kept')).toBe(7)
    }
    expect(server.log()).toContain('automatic recovery in progress')
  })

  test('asks for the password, also for replication', async () => {
    const server = await start({ name: 'password' })
    const url = new URL(server.url)
    url.password = 'wrong'
    for (const query of ['', '?replication=database']) {
      const client = new pg.Client({ connectionString: url.href + query, application_name: 'intruder' })
      await expect(client.connect()).rejects.toThrow('password authentication failed')
    }
    expect(readFileSync(`${server.dataDir}/pg_hba.conf`, 'utf8')).not.toMatch(/^[^#]*\btrust\b/m)
  })

  test('takes TLS connections when told to, which its authority proves', async () => {
    const server = await start({ name: 'tls', tls: true })
    const { ca } = server
    const client = new pg.Client({ connectionString: server.url, ssl: { ca } })
    await client.connect()
    const { rows } = await client.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')
    await client.end()
    expect(rows).toEqual([{ ssl: true }])
    const stranger = new pg.Client({ connectionString: server.url, ssl: {} })
    await expect(stranger.connect()).rejects.toThrow(/certificate/)
  })

  test('that cannot start says why', async () => {
    await expect(startPostgres({ name: 'wrong', settings: { no_such_setting: 'x' } })).rejects.toThrow(
      /unrecognized configuration parameter "no_such_setting"/,
    )
  })
})
