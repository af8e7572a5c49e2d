import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { checkEmission, createEmitter, type PgClientLike } from '../../../adapters/pg/index.ts'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { ConfigurationError, EmitError, InvalidFactError, NotInTransactionError } from '../../../src/errors.ts'
import type { FactInput } from '../../../src/fact.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { createSlot, type TestSlot } from '../../support/slot.ts'
import { emitFact, inTransaction } from './pg-under-test.ts'

const fact: FactInput = { aggregateType: 'order', aggregateId: 1, eventType: 'order.created' }
const named = (eventType: string): FactInput => ({ ...fact, eventType })

let database: TestDatabase
let slot: TestSlot
let pool: pg.Pool

beforeAll(async () => {
  database = await createDatabase()
  slot = await createSlot(database)
  await database.query('CREATE TABLE rows (id serial)')
  pool = new pg.Pool({ connectionString: database.url, max: 4 })
})
beforeEach(async () => void (await slot.read()))
afterAll(() => pool.end())

const emittedTypes = async () => (await slot.read()).map(({ content }) => decodeFact(content).eventType)

/** The client, and the statements that it sends. */
function counted(client: pg.PoolClient): { readonly client: PgClientLike; readonly sent: string[] } {
  const sent: string[] = []
  return {
    sent,
    client: {
      escapeLiteral: (text) => client.escapeLiteral(text),
      query: (text, values) => {
        sent.push(text)
        return client.query(text, values)
      },
    },
  }
}

describe('round trips', () => {
  it('one after a row, whether one fact or many; two when the fact is the first write', async () => {
    await inTransaction(pool, async (own) => {
      await own.query('INSERT INTO rows DEFAULT VALUES')
      const { client, sent } = counted(own)
      await emitFact(client, fact)
      await emitFact(client, [fact, fact, fact])
      expect(sent).toHaveLength(2)
    })
    await inTransaction(pool, async (own) => {
      const { client, sent } = counted(own)
      await emitFact(client, fact)
      expect(sent).toHaveLength(2)
      await emitFact(client, fact)
      expect(sent).toHaveLength(3)
      expect(await emitFact(client, [])).toEqual([])
      expect(sent).toHaveLength(3)
    })
    expect(await emittedTypes()).toHaveLength(6)
  })
})

describe('it is refused, and nothing is written', () => {
  it('for a pool, for something else, and for a client outside a transaction', async () => {
    const client = await pool.connect()
    try {
      for (const wrong of [pool, client, {}, undefined, 'client']) {
        await expect(emitFact(wrong as never as PgClientLike, fact)).rejects.toBeInstanceOf(NotInTransactionError)
      }
      await client.query('BEGIN')
      await emitFact(client, named('order.kept'))
      await client.query('COMMIT')
      await expect(emitFact(client, fact)).rejects.toBeInstanceOf(NotInTransactionError)
    } finally {
      client.release()
    }
    expect(await emittedTypes()).toEqual(['order.kept'])
  })

  it('when the COMMIT overtakes a fact that nobody awaits', async () => {
    const client = await pool.connect()
    try {
      await client.query('BEGIN')
      const late = emitFact(client, fact)
      await client.query('COMMIT')
      await expect(late).rejects.toBeInstanceOf(NotInTransactionError)
    } finally {
      client.release()
    }
    expect(await slot.read()).toEqual([])
  })
})

it('facts that do not wait for each other keep their order, also before the first row', async () => {
  await inTransaction(pool, async (client) => {
    await Promise.all(['a', 'b', 'c', 'd'].map((eventType) => emitFact(client, named(eventType))))
  })
  expect(await emittedTypes()).toEqual(['a', 'b', 'c', 'd'])
})

it('a client of its own, read-only transactions, and settings of the call', async () => {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    await client.query('BEGIN READ ONLY')
    await emitFact(client, fact)
    await emitFact(client, fact, { prefix: 'call' })
    await emitFact(client, { ...fact, prefix: 'own' }, { prefix: 'call' })
    await client.query('COMMIT')
  } finally {
    await client.end()
  }
  expect((await slot.read()).map(({ prefix }) => prefix)).toEqual(['shop', 'call', 'own'])
})

it('errors: invalid facts before anything is sent, the driver’s error as the cause, bad settings', async () => {
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
    const { client: watched, sent } = counted(client)
    await expect(emitFact(watched, {} as FactInput)).rejects.toBeInstanceOf(InvalidFactError)
    expect(sent).toEqual([])
    await client.query('SELECT 1 / 0').catch(() => {})
    const error = await emitFact(client, fact).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(EmitError)
    expect(error).toMatchObject({ cause: { code: '25P02' } })
  } finally {
    await client.query('ROLLBACK')
    client.release()
  }
  expect(() => createEmitter({ colour: 'red' } as never)).toThrow(ConfigurationError)
})

it('checkEmission asks through a pool and through a client', async () => {
  expect(await checkEmission(pool, { slot: slot.name })).toMatchObject({ ok: true })
  const client = await pool.connect()
  expect(await checkEmission(client, { slot: 'nobody' })).toMatchObject({ ok: false })
  client.release()
})
