import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createEmitter } from '../../adapters/pg/index.ts'
import { decodeFact } from '../../src/envelope/decode.ts'
import type { FactInput } from '../../src/fact.ts'
import { createSafetyEvidence } from '../contracts/safety-evidence.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createSlot, type TestSlot } from '../support/slot.ts'
import { customers, type DriverName, drivers, emitFact as emitWithDrizzle } from './drizzle/drizzle-under-test.ts'
import { inTransaction } from './pg/pg-under-test.ts'

// Envelopes are written into one buffer and leave it as parts of another: none may change while a driver still holds it.

const { emitFact } = createEmitter({ prefix: 'shop' })

let database: TestDatabase
let slot: TestSlot
let pool: pg.Pool

beforeAll(async () => {
  database = await createDatabase()
  await createSafetyEvidence(database)
  slot = await createSlot(database)
  pool = new pg.Pool({ connectionString: database.url, max: 4 })
})
afterAll(() => pool.end())

/** Around the sizes of what Node.js cuts small buffers from, 8 KiB, and of the encoder's own buffer, 16 KiB. */
const SIZES = [0, 10, 300, 2_000, 4_100, 8_200, 16_300, 16_500, 40_000]

/** Each payload is made of one character of its own. */
function factsOf(transaction: number): FactInput[] {
  return SIZES.flatMap((size, index) => {
    const character = String.fromCharCode(0x4e00 + transaction * SIZES.length + index)
    const payload = character.repeat(size / 2)
    return [1, 2].map((copy) => ({
      aggregateType: 'order',
      aggregateId: `${character}${copy}`,
      eventType: 'e',
      payload,
    }))
  })
}

const TRANSACTIONS = [0, 1, 2, 3]

async function expectAll(): Promise<void> {
  const received = (await slot.read()).map(({ content }) => decodeFact(content))
  const payloads = new Map(received.map((fact) => [fact.aggregateId, fact.text()]))
  const expected = TRANSACTIONS.flatMap(factsOf)
  expect(received).toHaveLength(expected.length)
  for (const { aggregateId, payload } of expected) expect(payloads.get(String(aggregateId)) === payload).toBe(true)
}

it('pg: facts that do not wait for each other, on connections that do not, arrive as they were', async () => {
  await Promise.all(
    TRANSACTIONS.map((transaction) =>
      inTransaction(pool, async (client) => {
        await client.query('INSERT INTO customers (id) VALUES (gen_random_uuid()::text)')
        await Promise.all(factsOf(transaction).map((fact) => emitFact(client, fact)))
      }),
    ),
  )
  await expectAll()
})

it.each(Object.keys(drivers) as DriverName[])('Drizzle, %s: the same', async (driver) => {
  const { db, close } = await drivers[driver]({ url: database.url })
  try {
    await Promise.all(
      TRANSACTIONS.map((transaction) =>
        db.transaction(async (tx) => {
          await tx.insert(customers).values({ id: `${driver} ${transaction}` })
          await Promise.all(factsOf(transaction).map((fact) => emitWithDrizzle(tx, fact)))
        }),
      ),
    )
  } finally {
    await close()
  }
  await expectAll()
})
