import pg from 'pg'
import { expect, inject, onTestFinished, test } from 'vitest'
import { startProxy, type TestProxy } from './proxy.ts'
import { waitFor } from './wait.ts'

async function connectThrough(proxy: TestProxy): Promise<pg.Client> {
  const url = new URL(inject('postgresUrl'))
  url.port = String(proxy.port)
  const client = new pg.Client({ connectionString: url.href })
  client.on('error', () => {})
  await client.connect()
  onTestFinished(() => client.end().catch(() => {}))
  return client
}

function startPostgresProxy(): Promise<TestProxy> {
  return startProxy({ port: Number(new URL(inject('postgresUrl')).port) })
}

test('passes on, and resets when cut', async () => {
  const proxy = await startPostgresProxy()
  const client = await connectThrough(proxy)
  expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  const hanging = client.query('SELECT pg_sleep(60)')
  proxy.cut()
  await expect(hanging).rejects.toThrow()
  await waitFor(() => proxy.connections === 0, { what: 'both ends to be closed' })
})

test('a black hole keeps the connection, and what waited comes through afterwards', async () => {
  const proxy = await startPostgresProxy()
  const client = await connectThrough(proxy)
  proxy.blackhole(true, 'toClient')
  let answered = false
  const answer = client.query('SELECT 2 AS two').then(({ rows }) => {
    answered = true
    return rows
  })
  // The server has had the question: the proxy holds the answer.
  const observer = new pg.Client({ connectionString: inject('postgresUrl') })
  await observer.connect()
  onTestFinished(() => observer.end())
  await waitFor(
    async () =>
      (await observer.query(`SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT 2 AS two' AND state = 'idle'`))
        .rowCount,
    { what: 'the server to have answered' },
  )
  expect(answered).toBe(false)
  proxy.blackhole(false)
  expect(await answer).toEqual([{ two: 2 }])
})

test('cuts after a number of bytes of one direction', async () => {
  const proxy = await startPostgresProxy()
  const client = await connectThrough(proxy)
  const before = proxy.bytes.toClient
  proxy.cutAfter(1_000, 'toClient')
  await expect(client.query(`SELECT repeat('x', 100000)`)).rejects.toThrow()
  expect(proxy.bytes.toClient - before).toBe(1_000)
})

test('refuses, delays, and has no target before it is told', async () => {
  const proxy = await startProxy()
  await expect(connectThrough(proxy)).rejects.toThrow()
  proxy.target = { port: Number(new URL(inject('postgresUrl')).port) }
  const client = await connectThrough(proxy)
  proxy.delayMs = 100
  const started = performance.now()
  await client.query('SELECT 1')
  expect(performance.now() - started).toBeGreaterThan(190)
  proxy.refuse(true)
  await expect(connectThrough(proxy)).rejects.toThrow()
})
