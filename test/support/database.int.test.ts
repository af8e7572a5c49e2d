import pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from './database.ts'
import { createSlot } from './slot.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await createDatabase()
})

describe('a slot', () => {
  test('reads messages with the transaction id of their row, and none of what was rolled back', async () => {
    const slot = await createSlot(database)
    const rows = await database.query<{ xid: string }>(
      `SELECT pg_current_xact_id()::text AS xid, pg_logical_emit_message(true, 'shop', '\\x0001ff'::bytea)`,
    )
    const client = await database.pool.connect()
    await client.query('BEGIN')
    await client.query(`SELECT pg_logical_emit_message(true, 'shop', 'kept'), 1`)
    await client.query('SAVEPOINT a')
    await client.query(`SELECT pg_logical_emit_message(true, 'shop', 'gone')`)
    await client.query('ROLLBACK TO SAVEPOINT a')
    await client.query('COMMIT')
    await client.query('BEGIN')
    await client.query(
      `SELECT pg_logical_emit_message(true, 'shop', 'gone'), pg_logical_emit_message(false, 'shop', 'stays')`,
    )
    await client.query('ROLLBACK')
    client.release()
    await database.query('CREATE TABLE flushed ()')

    const peeked = await slot.peek()
    const messages = await slot.read()
    expect(messages).toEqual(peeked)
    expect(messages).toMatchObject([
      { xid: rows[0]?.xid, transactional: true, prefix: 'shop', content: Buffer.from([0, 1, 255]) },
      { transactional: true, content: Buffer.from('kept') },
      { xid: undefined, transactional: false, content: Buffer.from('stays'), commitLsn: undefined },
    ])
    expect(messages[0]?.endLsn).toBeGreaterThan(messages[0]?.commitLsn as bigint)
    expect(messages[0]?.commitLsn).toBeGreaterThanOrEqual(messages[0]?.lsn as bigint)
    expect(Math.abs(Number(messages[0]?.commitTimeMicros) / 1e3 - Date.now())).toBeLessThan(60_000)
    expect(await slot.read()).toEqual([])
    expect(await slot.confirmedFlushLsn()).toBeGreaterThanOrEqual(messages[1]?.endLsn as bigint)
  })
})

describe('what is left behind fails', () => {
  test('a slot', async () => {
    const leaky = await createDatabase()
    await leaky.query(`SELECT pg_create_logical_replication_slot('left_' || current_database(), 'pgoutput')`)
    await expect(leaky.drop()).rejects.toThrow(`slot left_${leaky.name}`)
    expect(await database.query('SELECT 1 FROM pg_database WHERE datname = $1', [leaky.name])).toEqual([])
  })

  test('a connection', async () => {
    const leaky = await createDatabase()
    const client = new pg.Client({ connectionString: leaky.url, application_name: 'forgotten' })
    client.on('error', () => {})
    await client.connect()
    await expect(leaky.drop()).rejects.toThrow("application_name 'forgotten'")
  })

  test('a client that was never released to the pool', async () => {
    const leaky = await createDatabase()
    const client = await leaky.pool.connect()
    client.on('error', () => {})
    await expect(leaky.drop()).rejects.toThrow("application_name 'factlib-test-support'")
  })
})
