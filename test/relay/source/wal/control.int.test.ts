import { createServer } from 'node:net'
import { expect, inject, it } from 'vitest'
import { ControlConnection } from '../../../../relay/source/wal/control.ts'
import { registerCleanup } from '../../../support/cleanup.ts'

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
