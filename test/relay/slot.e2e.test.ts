import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { registerCleanup } from '../support/cleanup.ts'
import { createDatabase } from '../support/database.ts'
import { readTopic } from '../support/kafka.ts'
import { waitFor } from '../support/wait.ts'
import { createBench, type RelayBench, splitDuplicates } from './relay-bench.ts'

describe('the slot of a relay', () => {
  it('is created with its publication where there is none, and taken as it is where there is one', async () => {
    const bench = await createBench()
    await bench.topics({ topic: 'order' })
    const first = bench.relay()
    await first.start()
    const [slot] = await bench.database.query(
      'SELECT plugin, slot_type, two_phase, temporary FROM pg_replication_slots WHERE slot_name = $1',
      [bench.slot.name],
    )
    expect(slot).toEqual({ plugin: 'pgoutput', slot_type: 'logical', two_phase: false, temporary: false })
    const [publication] = await bench.database.query('SELECT puballtables FROM pg_publication WHERE pubname = $1', [
      bench.slot.publication,
    ])
    expect(publication).toEqual({ puballtables: false })
    const lines = first.log.join('\n')
    expect(lines.indexOf('created the publication')).toBeLessThan(lines.indexOf('created the replication slot'))
    expect(lines.indexOf('created the publication')).toBeGreaterThanOrEqual(0)
    await first.stop()
    await bench.commit({ aggregateId: 'meanwhile' })
    const second = bench.relay({ slotCreate: 'never' })
    await second.start()
    await readTopic(bench.brokers, `${bench.prefix}.order`, { untilCount: 1 })
    expect(second.log.join('\n')).not.toContain('created')
  })

  it('is not created where slotCreate is never', async () => {
    const bench = await createBench()
    const relay = bench.relay({ slotCreate: 'never' })
    await expect(relay.start()).rejects.toMatchObject({ code: 'FACTLIB_SLOT_MISSING' })
    expect(await relay.whenStopped()).toMatchObject({ exitCode: 10 })
    expect(
      await bench.database.query('SELECT 1 FROM pg_publication WHERE pubname = $1', [bench.slot.publication]),
    ).toEqual([])
  })

  /** Makes a slot that is not ours to use; returns what its refusal says. */
  const UNUSABLE: Record<string, (bench: RelayBench) => Promise<RegExp>> = {
    'of another plugin': async (bench) => {
      await bench.database.query("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", [bench.slot.name])
      return /plugin is "test_decoding"/
    },
    'that is physical': async (bench) => {
      await bench.database.query('SELECT pg_create_physical_replication_slot($1, true)', [bench.slot.name])
      return /physical/
    },
    'that is physical, with a standby on it': async (bench) => {
      await bench.database.query('SELECT pg_create_physical_replication_slot($1, true)', [bench.slot.name])
      const standby = new pg.Client({ connectionString: bench.database.url, replication: 'true' } as pg.ClientConfig)
      standby.on('error', () => {})
      await standby.connect()
      registerCleanup(
        () => void (standby as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy(),
      )
      const { rows } = await standby.query('IDENTIFY_SYSTEM')
      standby.query(`START_REPLICATION SLOT ${bench.slot.name} PHYSICAL ${rows[0].xlogpos}`).catch(() => {})
      await waitFor(() => bench.slot.activePid(), { what: 'the standby to stream' })
      return /physical/
    },
    'of another database': async (bench) => {
      const other = await createDatabase()
      await other.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [bench.slot.name])
      registerCleanup(async () => void (await other.query('SELECT pg_drop_replication_slot($1)', [bench.slot.name])))
      return /belongs to database/
    },
    'that is temporary': async (bench) => {
      const client = await bench.database.pool.connect()
      registerCleanup(() => client.release(true))
      await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput', true)", [bench.slot.name])
      return /temporary/
    },
    'with two_phase': async (bench) => {
      await bench.database.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput', false, true)", [
        bench.slot.name,
      ])
      return /two_phase/
    },
  }

  it.each(Object.entries(UNUSABLE))('is refused when it is one %s', async (_, make) => {
    const bench = await createBench()
    const says = await make(bench)
    const relay = bench.relay()
    await expect(relay.start()).rejects.toMatchObject({
      code: 'FACTLIB_SLOT_UNUSABLE',
      message: expect.stringMatching(says),
    })
    expect(await relay.whenStopped()).toMatchObject({ exitCode: 11 })
  })

  it('is refused without its publication', async () => {
    const bench = await createBench()
    await bench.database.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [bench.slot.name])
    const relay = bench.relay()
    await expect(relay.start()).rejects.toMatchObject({ code: 'FACTLIB_PUBLICATION_MISSING' })
    expect(await relay.whenStopped()).toMatchObject({ exitCode: 11 })
  })

  it('halts the relay when it is gone while it runs, and is not made again', async () => {
    const bench = await createBench()
    const relay = bench.relay()
    await relay.start()
    await dropWhileHeld(bench)
    expect(await relay.whenStopped()).toMatchObject({ exitCode: 10, error: { code: 'FACTLIB_SLOT_GONE' } })
    expect(
      await bench.database.query('SELECT 1 FROM pg_replication_slots WHERE slot_name = $1', [bench.slot.name]),
    ).toEqual([])
  })

  it('halts a relay that was started with --accept-gap when it goes later: the word was about the start', async () => {
    const bench = await createBench()
    const relay = bench.relay({ acceptGap: true })
    await relay.start()
    await dropWhileHeld(bench)
    expect(await relay.whenStopped()).toMatchObject({ exitCode: 10, error: { code: 'FACTLIB_SLOT_GONE' } })
  })

  it('is remembered also while the database is read-only by default', async () => {
    const bench = await createBench()
    const { database } = bench
    await bench.topics({ topic: 'order' })
    await bench.createSlot()
    await database.query(`ALTER DATABASE ${database.name} SET default_transaction_read_only = on`)
    const relay = bench.relay()
    await relay.start()
    await bench.commit({})
    await bench.whenAllConfirmed(relay)
    await relay.stop()
    const again = bench.relay()
    await again.start()
    expect([...relay.log, ...again.log].filter((line) => line.startsWith('warn'))).toEqual([])
  })

  it('is not said to have moved because the right to remember it was taken away', async () => {
    const bench = await createBench()
    const { database } = bench
    await bench.topics({ topic: 'order' })
    await bench.createSlot()
    const role = `r${bench.prefix}`
    await database.query(`CREATE ROLE ${role} LOGIN REPLICATION PASSWORD 'secret'`)
    await database.query(`GRANT USAGE ON SCHEMA factlib TO ${role}`)
    await database.query(`GRANT SELECT ON factlib.relay_slots TO ${role}`)
    registerCleanup(async () => {
      await database.query(`DROP OWNED BY ${role}`)
      await database.query(`DROP ROLE ${role}`)
    })
    const url = new URL(database.url)
    url.username = role
    url.password = 'secret'
    for (let start = 0; start < 2; start++) {
      const relay = bench.relay({ databaseUrl: url.href })
      await relay.start()
      await bench.commit({})
      await bench.whenAllConfirmed(relay)
      await relay.stop()
      expect(relay.log.join()).toContain('the relay may not keep its memory of the slot')
    }
  })

  it('streams with whatever name its publication has', async () => {
    const bench = await createBench()
    await bench.topics({ topic: 'order' })
    const relay = bench.relay({ publicationName: `Ü"'\\ ${bench.prefix}` })
    await relay.start()
    await bench.commit({})
    await bench.whenAllConfirmed(relay)
  })

  it('halts also a relay that stood by while it went', async () => {
    const bench = await createBench()
    const first = bench.relay()
    await first.start()
    const second = bench.relay()
    await second.start()
    expect(second.phase).toBe('standby')
    await dropWhileHeld(bench)
    expect(await second.whenStopped()).toMatchObject({ exitCode: 10, error: { code: 'FACTLIB_SLOT_GONE' } })
    expect(
      await bench.database.query('SELECT 1 FROM pg_replication_slots WHERE slot_name = $1', [bench.slot.name]),
    ).toEqual([])
  })
})

describe('two relays on one slot', () => {
  it('one works; the other stands by, is well, and takes over when the first stops, or its backend ends', async () => {
    const bench = await createBench()
    await bench.topics({ topic: 'order' })
    const topic = `${bench.prefix}.order`
    const [first, second] = [bench.relay(), bench.relay()]
    await first.start()
    await second.start()
    expect([first.phase, second.phase]).toEqual(['streaming', 'standby'])
    await waitFor(() => second.health().ok, { what: 'the standby to be well' })
    await bench.commit({ aggregateId: 'a' })
    await bench.whenAllConfirmed(first)
    await first.stop()
    const stoppedMs = performance.now()
    await bench.commit({ aggregateId: 'b' })
    await readTopic(bench.brokers, topic, { untilCount: 2 })
    expect(performance.now() - stoppedMs).toBeLessThan(5_000)
    expect(second.phase).toBe('streaming')
    await bench.whenAllConfirmed(second)

    // Whoever gets it: one of the two works and the other stands by.
    const third = bench.relay()
    await third.start()
    expect(third.phase).toBe('standby')
    for (let i = 0; i < 3; i++) {
      await bench.database.query(
        'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1',
        [bench.slot.name],
      )
      await bench.commit({ aggregateId: `c${i}` })
      await readTopic(bench.brokers, topic, { untilCount: 3 + i })
      await waitFor(() => [second.phase, third.phase].sort().join() === 'standby,streaming', {
        what: 'one of them to stand by',
      })
    }
    const { first: delivered, duplicates } = splitDuplicates(await readTopic(bench.brokers, topic))
    expect(delivered.map(({ key }) => key?.toString())).toEqual(['a', 'b', 'c0', 'c1', 'c2'])
    expect(duplicates).toBeLessThanOrEqual(3)
  })
})

/** Ends whoever holds the slot and drops it before it is taken again. */
async function dropWhileHeld(bench: RelayBench): Promise<void> {
  await waitFor(
    async () => {
      await bench.database.query(
        'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1',
        [bench.slot.name],
      )
      await bench.database.query('SELECT pg_drop_replication_slot($1)', [bench.slot.name])
      return true
    },
    { what: 'the slot to be dropped', intervalMs: 1 },
  )
}
