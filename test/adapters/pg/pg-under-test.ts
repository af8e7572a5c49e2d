import type pg from 'pg'
import { createEmitter, type PgClientLike } from '../../../adapters/pg/index.ts'
import type { AdapterUnderTest, Emission } from '../../contracts/transaction-safety.ts'

export const { emitFact } = createEmitter({ prefix: 'shop', maxFactBytes: 2_000_000 })

let savepoints = 0

/** BEGIN … COMMIT on a client of the pool. */
export async function inTransaction<Result>(
  pool: pg.Pool,
  body: (client: pg.PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
    const result = await body(client)
    await client.query('COMMIT')
    return result
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  } finally {
    client.release()
  }
}

/** The adapter on this pool, for the transaction contract. */
export function pgUnderTest(name: string, pool: pg.Pool, other: pg.Pool): AdapterUnderTest<pg.PoolClient> {
  return {
    name,
    transaction: (body) => inTransaction(pool, body),
    savepoint: async (client, body) => {
      savepoints += 1
      const point = `point_${savepoints}`
      await client.query(`SAVEPOINT ${point}`)
      try {
        await body(client)
      } catch (error) {
        await client.query(`ROLLBACK TO SAVEPOINT ${point}`)
        throw error
      }
      await client.query(`RELEASE SAVEPOINT ${point}`)
    },
    insertRow: async (client, id) => void (await client.query('INSERT INTO customers (id) VALUES ($1)', [id])),
    failStatement: async (client) => void (await client.query('SELECT 1 / 0')),
    statement: async (client, text) => void (await client.query(text)),
    otherPoolTransaction: (body) => inTransaction(other, body),
    emit: (client, emission) => emitFact(client, emission as Emission & object),
    emitOutside: (emission) => emitFact(pool as unknown as PgClientLike, emission as Emission & object),
  }
}
