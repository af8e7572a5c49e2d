import { beforeAll, describe, expect, it } from 'vitest'
import { registerCleanup } from '../support/cleanup.ts'
import { highWatermarks, readTopic } from '../support/kafka.ts'
import { type PostgresServer, startPostgres } from '../support/services/postgres.ts'
import { waitFor } from '../support/wait.ts'
import { createBench, emit, lsnText, type RelayBench, splitDuplicates } from './relay-bench.ts'

// On servers of their own: nobody else moves their WAL, and they are stopped in every way there is.

let server: PostgresServer

async function total(bench: RelayBench, topic: string): Promise<bigint> {
  return ((await highWatermarks(bench.brokers, [topic])).get(topic) as bigint[]).reduce((sum, end) => sum + end, 0n)
}

/** Commits three facts at a time of seven keys until it is told to stop; tells the ids whose COMMIT was answered. */
function startWriter(bench: RelayBench): { stop(): Promise<Set<string>> } {
  const committed = new Set<string>()
  let writing = true
  let number = 0
  const done = (async () => {
    while (writing) {
      const client = await bench.database.pool.connect().catch(() => undefined)
      if (!client) {
        // The server is away.
        await new Promise(setImmediate)
        continue
      }
      let broken: Error | undefined
      client.on('error', (error) => {
        broken = error
      })
      try {
        while (writing) {
          const ids: string[] = []
          await client.query('BEGIN')
          for (let i = 0; i < 3; i++, number++)
            ids.push((await emit(client, bench.prefix, { aggregateId: `${number % 7}`, payload: { number } })).id)
          await client.query('COMMIT')
          for (const id of ids) committed.add(id)
        }
      } catch (error) {
        broken = error as Error
      }
      client.release(broken ?? true)
    }
  })()
  return {
    async stop() {
      writing = false
      await done
      return committed
    },
  }
}

/** Everything that was committed is there, in order for each key; duplicates were the same. */
async function expectAll(bench: RelayBench, committed: Set<string>): Promise<{ duplicates: number }> {
  const { first, duplicates } = splitDuplicates(await readTopic(bench.brokers, `${bench.prefix}.order`))
  const ids = new Set(first.map(({ headers }) => headers[0]?.[1].toString()))
  for (const id of committed) expect(ids).toContain(id)
  const last = new Map<string, number>()
  for (const { key, value } of first) {
    const { number } = JSON.parse(/\{"number":\d+\}/.exec((value as Buffer).toString('latin1'))?.[0] as string)
    expect(number).toBeGreaterThan(last.get(`${key}`) ?? -1)
    last.set(`${key}`, number)
  }
  return { duplicates }
}

describe.each([18, 15] as const)('on PostgreSQL %i', (version) => {
  beforeAll(async () => {
    server = await startPostgres({ version, name: 'relay', settings: { autovacuum: 'off' } })
    registerCleanup(() => server.remove())
  })

  it("confirms a commit's end exactly, and loses no adjacent commit over restarts", async () => {
    const bench = await createBench({ postgresUrl: server.url })
    await bench.topics({ topic: 'order' })
    const sent: string[] = []
    await bench.createSlot()
    for (let round = 0; round < 8; round++) {
      // A batch of one statement each on one connection: their commit records stand one after another.
      await bench.database.query(
        Array.from({ length: 5 }, (_, i) => {
          sent.push(`${round}-${i}`)
          return `SELECT pg_logical_emit_message(true, '${bench.prefix}', '\\x12056f726465721a03${Buffer.from(`${round}-${i}`).toString('hex')}220165'::bytea); COMMIT;`
        }).join('\n'),
      )
      const ends = (await bench.committed()).slice(-5).map(({ endLsn }) => endLsn as bigint)
      const relay = bench.relay()
      await relay.start()
      await bench.whenAllConfirmed(relay)
      // The end of a record is a multiple of 8: one byte more would be inside the next one. Behind our last commit only
      // what the server said of an idle WAL may follow.
      const confirmed = await bench.slot.confirmedFlushLsn()
      expect(confirmed % 8n).toBe(0n)
      expect(confirmed).toBeGreaterThanOrEqual(ends.at(-1) as bigint)
      expect(confirmed).toBeLessThan((ends.at(-1) as bigint) + 65_536n)
      await relay.stop()
    }
    const records = await readTopic(bench.brokers, `${bench.prefix}.order`)
    expect(records.map(({ key }) => key?.toString())).toEqual(sent)
  })

  it('does not hold up a fast stop, and goes on after it', async () => {
    const bench = await createBench({ postgresUrl: server.url })
    await bench.topics({ topic: 'order', partitions: 3 })
    const relay = bench.relay()
    await relay.start()
    const writer = startWriter(bench)
    await waitFor(async () => (await total(bench, `${bench.prefix}.order`)) > 100n, { what: 'facts to flow' })
    const startedMs = performance.now()
    await server.stop('fast')
    expect(performance.now() - startedMs).toBeLessThan(8_000)
    await server.start()
    const before = await total(bench, `${bench.prefix}.order`)
    await waitFor(async () => (await total(bench, `${bench.prefix}.order`)) > before + 50n, {
      what: 'facts to flow again',
    })
    const committed = await writer.stop()
    await bench.whenAllConfirmed(relay)
    await expectAll(bench, committed)
  })

  it('does not hold up a fast stop with facts that Kafka does not take', async () => {
    const bench = await createBench({ postgresUrl: server.url })
    const relay = bench.relay({ drainTimeoutMs: 200 })
    await relay.start()
    await bench.commit({ aggregateType: 'late' })
    await waitFor(() => relay.log.some((line) => line.includes('does not exist')), {
      what: 'the relay to miss the topic',
    })
    const startedMs = performance.now()
    await server.stop('fast')
    expect(performance.now() - startedMs).toBeLessThan(12_000)
    await server.start()
    await bench.topics({ topic: 'late' })
    await readTopic(bench.brokers, `${bench.prefix}.late`, { untilCount: 1 })
    await bench.whenAllConfirmed(relay)
    splitDuplicates(await readTopic(bench.brokers, `${bench.prefix}.late`))
  })

  it('loses nothing and reorders nothing over immediate stops; what comes again is the same', async () => {
    const bench = await createBench({ postgresUrl: server.url })
    await bench.topics({ topic: 'order', partitions: 3 })
    const relay = bench.relay()
    await relay.start()
    const writer = startWriter(bench)
    for (let crash = 0; crash < 2; crash++) {
      const before = await total(bench, `${bench.prefix}.order`)
      await waitFor(async () => (await total(bench, `${bench.prefix}.order`)) > before + 100n, {
        what: 'facts to flow',
      })
      await server.stop('immediate')
      await server.start()
    }
    const before = await total(bench, `${bench.prefix}.order`)
    await waitFor(async () => (await total(bench, `${bench.prefix}.order`)) > before + 100n, { what: 'facts to flow' })
    const committed = await writer.stop()
    await bench.whenAllConfirmed(relay)
    await expectAll(bench, committed)
    expect(relay.phase).toBe('streaming')
  })

  it('goes on after its backend was terminated under load, again and again', async () => {
    const bench = await createBench({ postgresUrl: server.url })
    await bench.topics({ topic: 'order', partitions: 3 })
    const relay = bench.relay()
    await relay.start()
    const writer = startWriter(bench)
    for (let i = 0; i < 5; i++) {
      const before = await total(bench, `${bench.prefix}.order`)
      await waitFor(async () => (await total(bench, `${bench.prefix}.order`)) > before + 60n, { what: 'facts to flow' })
      await bench.database.query(
        'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1',
        [bench.slot.name],
      )
    }
    const committed = await writer.stop()
    await bench.whenAllConfirmed(relay)
    await expectAll(bench, committed)
    expect(lsnText(await bench.slot.confirmedFlushLsn())).not.toBe('0/0')
  })
})
