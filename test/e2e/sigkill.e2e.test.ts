import { expect, it } from 'vitest'
import { createBench, emit, header, splitDuplicates } from '../relay/relay-bench.ts'
import { readTopics } from '../support/kafka.ts'
import { startNode, type TestProcess } from '../support/process.ts'
import { waitFor } from '../support/wait.ts'

const KILLS = 5
const WRITERS = 4
const KEYS = 20

it('the relay process, killed with SIGKILL five times under load, loses nothing, invents nothing and keeps the order of each key', async () => {
  const bench = await createBench()
  const { database, prefix, brokers, slot } = bench
  await bench.topics({ topic: 'order', partitions: 4 }, { topic: 'user', partitions: 3 })
  await database.query('CREATE TABLE turn (key text PRIMARY KEY, n int NOT NULL)')
  await database.query('INSERT INTO turn SELECT g::text, 0 FROM generate_series(1, $1::int) g', [KEYS])
  const start = async (): Promise<TestProcess> => {
    const relay = startNode('relay/cli/main.ts', [], {
      env: {
        WAL_PREFIX: prefix,
        MASTER_DATABASE_URL: database.url,
        REPLICATION_SLOT_NAME: slot.name,
        PUBLICATION_NAME: slot.publication,
        KAFKA_BROKERS: brokers.join(','),
        WAL_HEALTH_PORT: '0',
        METRICS_PORT: '0',
        HTTP_HOST: '127.0.0.1',
      },
    })
    await relay.whenLine('"streaming"', 30_000)
    return relay
  }
  let relay = await start()

  const committed = new Set<string>()
  const rolledBack = new Set<string>()
  let writing = true
  const writers = Array.from({ length: WRITERS }, async (_, writer) => {
    const client = await database.pool.connect()
    try {
      for (let i = writer; writing; i += 7) {
        const key = String((i % KEYS) + 1)
        const ids: string[] = []
        await client.query('BEGIN')
        for (let fact = 0; fact <= i % 3; fact++) {
          const { rows } = await client.query<{ n: number }>('UPDATE turn SET n = n + 1 WHERE key = $1 RETURNING n', [
            key,
          ])
          const aggregateType = Number(key) % 2 ? 'order' : 'user'
          ids.push(
            (await emit(client, prefix, { aggregateType, aggregateId: key, payload: { n: rows[0]?.n as number } })).id,
          )
        }
        // 9 has nothing in common with the number of keys: each of them is committed and rolled back.
        const ok = i % 9 !== 0
        await client.query(ok ? 'COMMIT' : 'ROLLBACK')
        for (const id of ids) (ok ? committed : rolledBack).add(id)
      }
    } finally {
      client.release()
    }
  })
  const goOn = async (facts: number) => {
    const target = committed.size + facts
    await waitFor(() => committed.size >= target, { what: `${facts} more facts to be committed` })
  }
  const topics = [`${prefix}.order`, `${prefix}.user`]

  for (let kill = 0; kill < KILLS; kill++) {
    const before = committed.size
    await goOn(150)
    // In the middle of the work: something of this round is in Kafka, and more is on its way.
    await readTopics(brokers, topics, { untilCount: before + 20 })
    await relay.kill()
    await goOn(50)
    relay = await start()
  }
  await goOn(150)
  writing = false
  await Promise.all(writers)
  await readTopics(brokers, topics, { untilCount: committed.size })
  const messages = await bench.committed()
  await waitFor(async () => (await slot.confirmedFlushLsn()) >= (messages.at(-1)?.endLsn as bigint), {
    what: 'all to be confirmed',
  })
  relay.signal('SIGTERM')
  expect(await relay.whenExited()).toEqual({ code: 0, signal: null })

  // Throws when a duplicate is not the same to the byte, with the same id and headers.
  const { first, duplicates } = splitDuplicates(await readTopics(brokers, topics))
  expect(new Set(first.map((record) => header(record, 'event_id')))).toEqual(committed)
  expect(rolledBack.size).toBeGreaterThan(50)
  const turns = new Map<string, number[]>()
  for (const { key, value } of first) {
    const { n } = JSON.parse(/\{"n":\d+\}/.exec((value as Buffer).toString('latin1'))?.[0] as string)
    turns.set(`${key}`, [...(turns.get(`${key}`) ?? []), n])
  }
  for (const [key, numbers] of turns) expect(numbers, `key ${key}`).toEqual(numbers.map((_, i) => i + 1))
  expect(turns.size).toBe(KEYS)
  // Only what was unconfirmed at a kill may come twice: at worst, where nothing was confirmed before one, everything until then.
  expect(duplicates).toBeLessThan(committed.size * KILLS)
}, 120_000)
