import { createServer } from 'node:net'
import { expect, inject, it } from 'vitest'
import { ControlConnection } from '../../../../relay/source/wal/control.ts'
import { registerCleanup } from '../../../support/cleanup.ts'
import { startProxy } from '../../../support/proxy.ts'

it('answers, and is closed', async () => {
  const control = new ControlConnection({ connectionString: inject('postgresUrl') }, () => {})
  expect((await control.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  await control.close()
  await expect(control.query('SELECT 1')).rejects.toThrow('closed')
})

it('is closed in a second also while its connection is being made to a server that says nothing', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const silent = new Promise<void>((resolve) => server.once('connection', () => resolve()))
  registerCleanup(() => void server.close())
  const { port } = server.address() as { port: number }
  const control = new ControlConnection({ host: '127.0.0.1', port, connectionTimeoutMillis: 20_000 }, () => {})
  control.query('SELECT 1').catch(() => {})
  await silent
  const sinceMs = performance.now()
  await control.close()
  expect(performance.now() - sinceMs).toBeLessThan(5_000)
})

it('makes a new connection when the server says nothing any more: behind the old one everything would wait', async () => {
  const url = new URL(inject('postgresUrl'))
  const proxy = await startProxy({ host: url.hostname, port: Number(url.port) })
  url.hostname = '127.0.0.1'
  url.port = String(proxy.port)
  const control = new ControlConnection({ connectionString: url.href }, () => {}, 500)
  registerCleanup(() => control.close())
  const pid = async () => (await control.query('SELECT pg_backend_pid() AS pid')).rows[0]?.['pid']
  const first = await pid()
  proxy.blackhole(true)
  await expect(pid()).rejects.toThrow('timeout')
  // The proxy keeps what it held of the old one to itself: only new connections are served.
  proxy.blackhole(false)
  expect(await pid()).not.toBe(first)
})
