import { beforeAll, describe, expect, it } from 'vitest'
import { registerCleanup } from '../support/cleanup.ts'
import { readTopic } from '../support/kafka.ts'
import { type PostgresServer, startPostgres } from '../support/services/postgres.ts'
import { waitFor } from '../support/wait.ts'
import { createBench, emitBytes } from './relay-bench.ts'

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres({ name: 'heartbeat-relay', settings: { autovacuum: 'off' } })
  registerCleanup(() => server.remove())
})

describe('the heartbeat of a relay', () => {
  it('comes back through the slot, once where nobody writes; is no fact and not foreign, also under *', async () => {
    const bench = await createBench({ postgresUrl: server.url })
    await bench.topics({ topic: 'order' })
    let foreign = 0
    const observer = {
      consumed() {},
      handled() {},
      handlerFailed() {},
      produced() {},
      produceFailed() {},
      replicationError() {},
    }
    const relay = bench.relay({
      prefix: '*',
      heartbeatMs: 50,
      observer: { ...observer, foreign: () => void foreign++ },
    })
    await relay.start()
    await waitFor(() => relay.stats().heartbeatSeconds !== undefined, { what: 'the heartbeat to come back' })
    await bench.commit({})
    await bench.whenAllConfirmed(relay)
    await emitBytes(bench.database.pool, 'somebody-elses', Buffer.from('not a fact'), false)
    await waitFor(() => foreign > 0, { what: 'the foreign message' })
    await relay.stop()
    expect(relay.log.filter((line) => !line.startsWith('info'))).toEqual([
      expect.stringContaining('created the replication slot'),
    ])
    expect(foreign).toBe(1)
    expect(await readTopic(bench.brokers, `${bench.prefix}.order`)).toHaveLength(1)
    const heartbeats = (await bench.oracle.peek()).filter(({ prefix }) => prefix === 'factlib.heartbeat')
    expect(heartbeats).toHaveLength(1)
  })

  it('is not written with HEARTBEAT_MS=0; readiness goes without', async () => {
    const bench = await createBench({ postgresUrl: server.url })
    await bench.topics({ topic: 'order' })
    const relay = bench.relay({ heartbeatMs: 0 })
    await relay.start()
    await bench.commit({})
    await bench.whenAllConfirmed(relay)
    await waitFor(() => relay.readiness().ok, { what: 'readiness' })
    expect(relay.stats().heartbeatSeconds).toBeUndefined()
    expect((await bench.oracle.peek()).filter(({ prefix }) => prefix === 'factlib.heartbeat')).toEqual([])
  })

  it('that does not come back makes the relay not ready, with the reason, and it is ready again when it does', async () => {
    const bench = await createBench({ postgresUrl: server.url })
    const relay = bench.relay({ heartbeatMs: 100 })
    await relay.start()
    await waitFor(() => relay.stats().heartbeatSeconds !== undefined && relay.readiness().ok, { what: 'readiness' })
    // The server's own sender stands still: the connection is there, the other one answers, nothing is delivered.
    const sender = (await bench.slot.activePid()) as number
    process.kill(sender, 'SIGSTOP')
    registerCleanup(() => void process.kill(sender, 'SIGCONT'))
    await bench.database.query('CREATE TABLE filler AS SELECT repeat($$x$$, 100) FROM generate_series(1, 1000)')
    await waitFor(() => !relay.readiness().ok, { what: 'the relay to be not ready', timeoutMs: 25_000 })
    expect(relay.readiness()).toMatchObject({ reason: expect.stringContaining('has not come back through the slot') })
    expect([relay.health(), relay.liveness()]).toEqual([{ ok: true }, { ok: true }])
    process.kill(sender, 'SIGCONT')
    await waitFor(() => relay.readiness().ok, { what: 'the relay to be ready again' })
    expect(relay.stats()).toMatchObject({ phase: 'streaming', unconfirmedSeconds: 0, lanes: { open: 0, busy: 0 } })
  })
})
