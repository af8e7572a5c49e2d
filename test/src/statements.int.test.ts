import pg from 'pg'
import { beforeAll, describe, expect, it } from 'vitest'
import { emitWith } from '../../src/emitter.ts'
import { decodeFact } from '../../src/envelope/decode.ts'
import { encodeFact } from '../../src/envelope/encode.ts'
import { EmitError } from '../../src/errors.ts'
import { Fact } from '../../src/fact.ts'
import { emitManyStatement, type Statement } from '../../src/statements.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createSlot, type TestSlot } from '../support/slot.ts'

let database: TestDatabase
let slot: TestSlot

beforeAll(async () => {
  database = await createDatabase()
  slot = await createSlot(database)
})

const onClient = (client: pg.ClientBase) => ({
  execute: (statement: Statement) => client.query(statement.text, [...statement.values]),
})

async function inTransaction(work: (client: pg.PoolClient) => Promise<unknown>): Promise<void> {
  const client = await database.pool.connect()
  try {
    await client.query('BEGIN')
    await work(client)
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  } finally {
    client.release()
  }
}

const factOf = (n: number, payload: Uint8Array | string = `payload ${n}`) =>
  new Fact({ aggregateType: 'order', aggregateId: n, eventType: 'order.created', payload, prefix: 'shop' })

describe('on a real database', () => {
  it('one fact comes out of the slot as it went in, whatever its bytes', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
    const fact = factOf(1, bytes)
    await inTransaction((client) => emitWith(onClient(client), fact))
    const messages = await slot.read()
    expect(messages).toMatchObject([{ prefix: 'shop', transactional: true }])
    expect(Buffer.from(messages[0]!.content).equals(encodeFact(fact))).toBe(true)
    expect(decodeFact(messages[0]!.content).payload).toEqual(bytes)
  })

  it('an array of 2,000 comes out in its order, each under its prefix, of one statement and one transaction', async () => {
    const facts = Array.from({ length: 2_000 }, (_, n) => (n % 2 === 0 ? factOf(n) : factOf(n).withPrefix('other')))
    let statements = 0
    await inTransaction((client) => {
      const executor = {
        execute: (statement: Statement) => {
          statements += 1
          return onClient(client).execute(statement)
        },
      }
      return emitWith(executor, facts)
    })
    expect(statements).toBe(1)
    const messages = await slot.read()
    expect(messages.map(({ content }) => decodeFact(content).aggregateId)).toEqual(
      facts.map(({ aggregateId }) => aggregateId),
    )
    expect(messages.every(({ prefix }, n) => prefix === (n % 2 === 0 ? 'shop' : 'other'))).toBe(true)
    expect(messages.every(({ content }, n) => Buffer.from(content).equals(encodeFact(facts[n]!)))).toBe(true)
    expect(new Set(messages.map(({ xid }) => xid)).size).toBe(1)
  })

  it('gives an LSN in text for each message', async () => {
    const { text, values } = emitManyStatement([1, 2].map((n) => ({ prefix: 'shop', content: encodeFact(factOf(n)) })))
    const rows = await database.query<{ lsn: string }>(text, [...values])
    expect(rows).toHaveLength(2)
    for (const { lsn } of rows) expect(lsn).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/)
    await slot.read()
  })

  it('a rollback, and a rollback to a savepoint, leave none of theirs', async () => {
    await inTransaction(async (client) => {
      await emitWith(onClient(client), factOf(1))
      await client.query('SAVEPOINT s')
      await emitWith(onClient(client), [factOf(2), factOf(3)])
      await client.query('ROLLBACK TO s')
      await emitWith(onClient(client), factOf(4))
    })
    await inTransaction(async (client) => {
      await emitWith(onClient(client), factOf(5))
      throw new Error('undo')
    }).catch(() => {})
    expect((await slot.read()).map(({ content }) => decodeFact(content).aggregateId)).toEqual(['1', '4'])
  })

  it('an aborted transaction is an EmitError with the database’s as its cause', async () => {
    const work = inTransaction(async (client) => {
      await client.query('SELECT 1/0').catch(() => {})
      await emitWith(onClient(client), factOf(1))
    })
    const error = await work.catch((caught) => caught)
    expect(error).toBeInstanceOf(EmitError)
    expect(error.message).toContain('SQLSTATE 25P02')
    expect(error.cause).toBeInstanceOf(pg.DatabaseError)
    expect(await slot.read()).toEqual([])
  })
})
