import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { createDatabase } from '../../support/database.ts'
import { createSlot } from '../../support/slot.ts'

it('the example places one order with its fact, and refuses the other with neither', async () => {
  const database = await createDatabase()
  const slot = await createSlot(database)
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', 'examples/drizzle/main.ts'],
    { env: { ...process.env, DATABASE_URL: database.url, NODE_NO_WARNINGS: '1' } },
  )
  expect(stderr).toBe('')
  expect(stdout).toMatch(
    /^placed drizzle-\d+: row and fact\nrefused: an order costs something; neither row nor fact\n$/,
  )
  const rows = await database.query('SELECT id, total_cents AS "totalCents" FROM drizzle_orders')
  expect(rows).toHaveLength(1)
  const [message, ...more] = await slot.read()
  expect(more).toEqual([])
  const fact = decodeFact(message!.content)
  expect({ prefix: message!.prefix, type: fact.eventType, order: fact.json() }).toEqual({
    prefix: 'shop',
    type: 'order.placed',
    order: rows[0],
  })
})
