import { Client } from 'pg'
import { describe, expect, it } from 'vitest'
import { toLsn } from '../../relay/lsn.ts'
import { createDatabase } from '../support/database.ts'
import { createTopics, highWatermarks, readTopic, readTopics } from '../support/kafka.ts'
import { waitFor } from '../support/wait.ts'
import { createBench, emit, emitBytes, header, lsnText, type RelayBench, splitDuplicates } from './relay-bench.ts'

describe('a relay', () => {
  it('delivers exactly what was committed, each key in the order of its commits, from six writers with savepoints and rollbacks', async () => {
    const bench = await createBench()
    const { database, prefix, brokers } = bench
    await bench.topics({ topic: 'order', partitions: 5 }, { topic: 'user', partitions: 2 })
    await database.query('CREATE TABLE turn (key text PRIMARY KEY, n int NOT NULL)')
    await database.query("INSERT INTO turn SELECT 'k' || g, 0 FROM generate_series(0, 9) g")
    const relay = bench.relay()
    await relay.start()
    const committed = new Set<string>()
    const rolledBack = new Set<string>()
    await Promise.all(
      Array.from({ length: 6 }, async (_, writer) => {
        const client = await database.pool.connect()
        // Different for each writer, the same in each run.
        let state = writer * 7_919 + 1
        const random = (below: number) => {
          state = (Math.imul(state, 48_271) >>> 0) % 0x7fffffff
          return state % below
        }
        try {
          for (let i = 0; i < 60; i++) {
            const own: string[] = []
            const lost: string[] = []
            await client.query('BEGIN')
            // One key a transaction, so that no two wait for each other.
            const key = `k${random(10)}`
            const turn = async (into: string[]) => {
              const { rows } = await client.query<{ n: number }>(
                'UPDATE turn SET n = n + 1 WHERE key = $1 RETURNING n',
                [key],
              )
              const fact = await emit(client, prefix, {
                aggregateType: key < 'k5' ? 'order' : 'user',
                aggregateId: key,
                payload: { n: rows[0]?.n as number },
              })
              into.push(fact.id)
            }
            for (let facts = random(4); facts >= 0; facts--) await turn(own)
            if (random(2)) {
              await client.query('SAVEPOINT s')
              await turn(lost)
              await client.query('ROLLBACK TO SAVEPOINT s')
              if (random(2)) await turn(own)
            }
            if (random(2)) {
              await client.query('SAVEPOINT r')
              await turn(own)
              await client.query('RELEASE SAVEPOINT r')
            }
            const ok = random(4) > 0
            await client.query(ok ? 'COMMIT' : 'ROLLBACK')
            for (const id of own) (ok ? committed : rolledBack).add(id)
            for (const id of lost) rolledBack.add(id)
          }
        } finally {
          client.release()
        }
      }),
    )
    await bench.whenAllConfirmed(relay)
    const records = await readTopics(brokers, [`${prefix}.order`, `${prefix}.user`])
    expect(rolledBack.size).toBeGreaterThan(100)
    expect(new Set(records.map((record) => header(record, 'event_id')))).toEqual(committed)
    expect(records).toHaveLength(committed.size)
    const turns = new Map<string, number[]>()
    for (const { key, value } of records) {
      const n = JSON.parse(/\{"n":\d+\}/.exec((value as Buffer).toString('latin1'))?.[0] as string).n
      turns.set(`${key}`, [...(turns.get(`${key}`) ?? []), n])
    }
    // The number is taken under the row's lock, which is held until the commit: 1, 2, 3 … is the order of the commits.
    for (const [key, numbers] of turns) {
      expect(numbers, key).toEqual(numbers.map((_, i) => i + 1))
    }
    expect(turns.size).toBe(10)
  })

  it('delivers nothing a second time after it was stopped, also when it was stopped under load', async () => {
    const bench = await createBench()
    await bench.topics({ topic: 'order', partitions: 3 })
    await bench.createSlot()
    const writer = await bench.database.pool.connect()
    let writing = true
    let emitted = 0
    const done = (async () => {
      for (; writing; emitted += 5) {
        await writer.query('BEGIN')
        for (let i = 0; i < 5; i++)
          await emit(writer, bench.prefix, { aggregateId: `${(emitted + i) % 7}`, payload: 'x'.repeat(500) })
        await writer.query('COMMIT')
      }
    })()
    try {
      for (let round = 1; round <= 8; round++) {
        const relay = bench.relay()
        await relay.start()
        const topic = `${bench.prefix}.order`
        const before = await total(bench, topic)
        await waitFor(async () => (await total(bench, topic)) > before + 100n, { what: 'facts of this round' })
        await relay.stop()
        expect(await relay.whenStopped()).toEqual({ exitCode: 0 })
      }
    } finally {
      writing = false
      await done
      writer.release()
    }
    const last = bench.relay()
    await last.start()
    await bench.whenAllConfirmed(last)
    const { first, duplicates } = splitDuplicates(await readTopic(bench.brokers, `${bench.prefix}.order`))
    expect(duplicates).toBe(0)
    expect(first).toHaveLength(emitted)
  })

  it('lets an idle slot advance while another database writes, and nothing pends', async () => {
    const bench = await createBench()
    const other = await createDatabase()
    const relay = bench.relay()
    await relay.start()
    const start = await bench.slot.confirmedFlushLsn()
    await other.query('CREATE TABLE t AS SELECT repeat(md5(g::text), 20) AS x FROM generate_series(1, 20000) g')
    const [row] = await other.query<{ lsn: string }>("SELECT (pg_current_wal_lsn() - '0/0')::text AS lsn")
    const written = BigInt(row?.lsn as string) - start
    expect(written).toBeGreaterThan(5_000_000n)
    await waitFor(async () => (await bench.slot.confirmedFlushLsn()) > start + (written * 9n) / 10n, {
      what: 'the slot to advance',
    })
  })

  it('does not let it advance while a fact waits', async () => {
    const bench = await createBench()
    const other = await createDatabase()
    const relay = bench.relay({ drainTimeoutMs: 200 })
    await relay.start()
    await bench.commit({ aggregateType: 'nowhere' })
    await other.query('CREATE TABLE t AS SELECT repeat(md5(g::text), 20) AS x FROM generate_series(1, 20000) g')
    await waitFor(() => relay.log.some((line) => line.includes('does not exist')), {
      what: 'the relay to miss the topic',
    })
    // It reads on meanwhile: what is committed after is delivered, so everything before it was seen.
    await bench.topics({ topic: 'order' })
    await bench.commit({ aggregateId: 'after' })
    await readTopic(bench.brokers, `${bench.prefix}.order`, { untilCount: 1 })
    const [waiting] = await bench.committed()
    expect(await bench.slot.confirmedFlushLsn()).toBeLessThan(waiting?.endLsn as bigint)
    await relay.stop()
    expect(await bench.slot.confirmedFlushLsn()).toBeLessThan(waiting?.endLsn as bigint)
  })

  it('holds only the topic that is missing, and delivers in order once it is there', async () => {
    const bench = await createBench()
    await bench.topics({ topic: 'order' })
    const relay = bench.relay()
    await relay.start()
    for (let i = 0; i < 50; i++)
      await bench.commit({ aggregateId: `${i}` }, { aggregateType: 'late', aggregateId: `${i}` })
    await readTopic(bench.brokers, `${bench.prefix}.order`, { untilCount: 50 })
    const [first] = await bench.committed()
    expect(await bench.slot.confirmedFlushLsn()).toBeLessThan(first?.endLsn as bigint)
    await waitFor(() => relay.health().ok === false, { what: 'health to say it', timeoutMs: 15_000 })
    expect(relay.health()).toMatchObject({ reason: expect.stringMatching(/late.*does not exist/) })
    await bench.topics({ topic: 'late' })
    await bench.whenAllConfirmed(relay)
    const records = await readTopic(bench.brokers, `${bench.prefix}.late`)
    expect(records.map(({ key }) => Number(key))).toEqual(Array.from({ length: 50 }, (_, i) => i))
    expect(relay.health()).toEqual({ ok: true })
  })

  it('creates a missing topic when it is told to', async () => {
    const bench = await createBench()
    const relay = bench.relay({ kafkaCreateTopics: true, kafkaTopicPartitions: 4 })
    await relay.start()
    await bench.commit({ aggregateType: 'made' })
    await bench.whenAllConfirmed(relay)
    const ends = await highWatermarks(bench.brokers, [`${bench.prefix}.made`])
    expect(ends.get(`${bench.prefix}.made`)).toHaveLength(4)
  })

  it('passes over foreign prefixes for good, and takes several or all of them when told', async () => {
    const bench = await createBench()
    const { prefix, database, brokers } = bench
    const [second, third] = [`${prefix}b`, `${prefix}c`]
    await createTopics(
      brokers,
      [prefix, second, third].map((name) => ({ topic: `${name}.order` })),
    )
    const relay = bench.relay({ prefix: [prefix, second] })
    await relay.start()
    for (const name of [third, prefix, second, prefix.toUpperCase(), third])
      await emit(database.pool, name, { aggregateId: name })
    await emit(database.pool, third, { aggregateId: 'alone' }, false)
    const last = (await bench.oracle.peek()).filter((message) => [third, prefix].includes(message.prefix)).at(-1)
    await relay.whenFlushed(
      lsnText((await bench.oracle.peek()).filter((m) => m.prefix === second).at(-1)?.endLsn as bigint),
    )
    const counts = async () =>
      [
        ...(
          await highWatermarks(
            brokers,
            [prefix, second, third].map((name) => `${name}.order`),
          )
        ).values(),
      ].flat()
    expect(await counts()).toEqual([1n, 1n, 0n])
    await relay.stop()
    expect(last).toBeDefined()

    const all = bench.relay({ prefix: '*' })
    await all.start()
    await emitBytes(database.pool, 'someone-elses', Buffer.from('not a fact at all'))
    await emit(database.pool, third, { aggregateId: 'now' })
    await readTopic(brokers, `${third}.order`, { untilCount: 1 })
    await all.stop()
    expect(await all.whenStopped()).toEqual({ exitCode: 0 })
    // The foreign ones before were confirmed by the first relay, or are delivered now: never is one of ours lost.
    expect((await counts()).slice(0, 2)).toEqual([1n, 1n])
  })

  it('delivers non-transactional messages, also of a transaction that rolls back, and confirms them', async () => {
    const bench = await createBench()
    await bench.topics({ topic: 'order' })
    const relay = bench.relay()
    await relay.start()
    const client = await bench.database.pool.connect()
    try {
      await client.query('BEGIN')
      await emit(client, bench.prefix, { aggregateId: 'stays' }, false)
      await emit(client, bench.prefix, { aggregateId: 'goes' })
      await client.query('ROLLBACK')
    } finally {
      client.release()
    }
    await bench.commit({ aggregateId: 'next' })
    await bench.whenAllConfirmed(relay)
    await relay.stop()
    for (let round = 0; round < 3; round++) {
      await emit(bench.database.pool, bench.prefix, { aggregateId: `alone ${round}` }, false)
      // It is on disk, and so seen, only after somebody's flush; a commit would be a unit of its own behind it.
      await bench.database.query('CHECKPOINT')
      const again = bench.relay()
      await again.start()
      await bench.whenAllConfirmed(again)
      await again.stop()
      expect(await again.whenStopped()).toEqual({ exitCode: 0 })
    }
    const records = await readTopic(bench.brokers, `${bench.prefix}.order`)
    expect(records.map(({ key }) => key?.toString())).toEqual(['stays', 'next', 'alone 0', 'alone 1', 'alone 2'])
  })

  it('delivers a fact of 1 MB, byte for byte, between small ones', async () => {
    const bench = await createBench()
    await bench.topics({ topic: 'order' })
    const relay = bench.relay()
    await relay.start()
    const payload = Buffer.alloc(1_000_000, 0x61)
    await bench.commit({ payload: 'a' }, { payload: new Uint8Array(payload) }, { payload: 'b' })
    await bench.whenAllConfirmed(relay)
    const records = await readTopic(bench.brokers, `${bench.prefix}.order`)
    const messages = await bench.committed()
    expect(records.map(({ value }) => value?.length)).toEqual(messages.map(({ content }) => content.length))
    expect(records.every(({ value }, i) => value?.equals(messages[i]?.content as Buffer))).toBe(true)
  })

  it('delivers a transaction of 100,000 facts with a window of 2,000, in order', async () => {
    const bench = await createBench()
    await bench.topics({ topic: 'order', partitions: 2 })
    let most = 0
    let consumed = 0
    let handled = 0
    const relay = bench.relay({
      windowFacts: 2_000,
      observer: {
        consumed: () => {
          consumed++
          most = Math.max(most, consumed - handled)
        },
        handled: () => handled++,
        handlerFailed() {},
        produced() {},
        produceFailed() {},
        replicationError() {},
      },
    })
    await relay.start()
    await bench.database.query(
      `SELECT count(pg_logical_emit_message(true, $1, '\\x12056f72646572'::bytea || '\\x1a06'::bytea || convert_to(lpad(g::text, 6, '0'), 'UTF8') || '\\x220165'::bytea)) FROM generate_series(1, 100000) g`,
      [bench.prefix],
    )
    const records = await readTopic(bench.brokers, `${bench.prefix}.order`, { untilCount: 100_000, timeoutMs: 50_000 })
    expect(records).toHaveLength(100_000)
    for (const partition of [0, 1]) {
      const keys = records.filter((one) => one.partition === partition).map(({ key }) => Number(key))
      expect(keys).toEqual([...keys].sort((a, b) => a - b))
    }
    // What is in the socket's buffer when it pauses comes on top.
    expect(most).toBeGreaterThan(1_999)
    expect(most).toBeLessThan(6_000)
    await bench.whenAllConfirmed(relay)
  })

  it('takes routes: a topic of its own, and a handler that is called again until it succeeds', async () => {
    const bench = await createBench()
    const special = `${bench.prefix}-special`
    await createTopics(bench.brokers, [{ topic: special }])
    await bench.topics({ topic: 'order' })
    const calls: string[] = []
    let failures = 2
    const relay = bench.relay({
      routes: [
        { aggregateType: 'user', topic: special },
        {
          aggregateType: 'audit',
          handle: async ({ fact, lsn, transactional, value, prefix }) => {
            calls.push(`${fact.aggregateId} ${fact.json<{ n: number }>().n}`)
            expect([lsn.includes('/'), transactional, prefix]).toEqual([true, true, bench.prefix])
            expect(value.length).toBeGreaterThan(20)
            if (fact.aggregateId === 'a' && failures-- > 0) throw new Error('not today')
          },
        },
      ],
    })
    await relay.start()
    const audit = (aggregateId: string, n: number) => ({ aggregateType: 'audit', aggregateId, payload: { n } })
    await bench.commit(
      audit('a', 1),
      audit('a', 2),
      audit('b', 1),
      { aggregateType: 'user' },
      { aggregateType: 'order' },
    )
    await bench.whenAllConfirmed(relay)
    expect(calls.filter((call) => call.startsWith('a'))).toEqual(['a 1', 'a 1', 'a 1', 'a 2'])
    expect(calls.filter((call) => call.startsWith('b'))).toEqual(['b 1'])
    expect(await readTopic(bench.brokers, special)).toHaveLength(1)
    expect(await readTopic(bench.brokers, `${bench.prefix}.order`)).toHaveLength(1)
    expect(relay.log.join('\n')).not.toContain('"n"')
  })

  it('confirms nothing while a handler fails, and hands out the fact again to the next relay', async () => {
    const bench = await createBench()
    const first = bench.relay({
      drainTimeoutMs: 200,
      routes: [
        {
          handle: () => {
            throw new Error('never')
          },
        },
      ],
    })
    await first.start()
    await bench.commit({ aggregateId: 'x' })
    await waitFor(() => first.log.some((line) => line.includes('handler')), { what: 'the handler to fail' })
    await first.stop()
    const [fact] = await bench.committed()
    expect(await bench.slot.confirmedFlushLsn()).toBeLessThan(toLsn(fact?.endLsn as bigint))
    const seen: string[] = []
    const second = bench.relay({ routes: [{ handle: ({ fact: again }) => void seen.push(again.aggregateId) }] })
    await second.start()
    await bench.whenAllConfirmed(second)
    expect(seen).toEqual(['x'])
  })

  it('reads on to the Commit of the open transaction when it is stopped in the middle', async () => {
    const bench = await createBench()
    await bench.topics({ topic: 'order' })
    const relay = bench.relay({ windowFacts: 100 })
    await relay.start()
    const client = new Client(bench.database.url)
    await client.connect()
    await client.query('BEGIN')
    for (let i = 0; i < 3_000; i++) void emit(client as never, bench.prefix, { aggregateId: `${i}` })
    await client.query('COMMIT')
    await client.end()
    await readTopic(bench.brokers, `${bench.prefix}.order`, { untilCount: 1 })
    await relay.stop()
    const again = bench.relay()
    await again.start()
    await bench.whenAllConfirmed(again)
    const { first, duplicates } = splitDuplicates(await readTopic(bench.brokers, `${bench.prefix}.order`))
    expect(first).toHaveLength(3_000)
    expect(duplicates).toBe(0)
  })
})

async function total(bench: RelayBench, topic: string): Promise<bigint> {
  return ((await highWatermarks(bench.brokers, [topic])).get(topic) as bigint[]).reduce((sum, end) => sum + end, 0n)
}
