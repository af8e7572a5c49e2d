import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { createShop } from './prisma-under-test.ts'

it('examples/prisma commits rows with their facts, and neither of what it refuses', async () => {
  const { database, evidence } = await createShop()
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', 'examples/prisma/main.ts'],
    { env: { ...process.env, DATABASE_URL: database.url } },
  )
  expect(stderr).toBe('')
  expect(stdout).toMatch(/^placed .+\npaid .+\nrefused: an order costs something; neither row nor fact\n$/)
  const orders = await database.query('SELECT id, status, xact_id FROM orders')
  expect(orders).toMatchObject([{ status: 'paid' }])
  const [placed, paid, ...more] = (await evidence.messages()).map(({ prefix, xid, content }) => {
    const fact = decodeFact(content)
    return { prefix, xid: BigInt(xid), fact, topicKey: `${fact.aggregateType} ${fact.aggregateId} ${fact.eventType}` }
  })
  const { id, xact_id: transaction } = orders[0] as { id: string; xact_id: string }
  expect([placed?.prefix, placed?.topicKey]).toEqual(['shop', `order ${id} order.placed`])
  expect(placed?.xid).toBe(BigInt.asUintN(32, BigInt(transaction)))
  expect(placed?.fact.json()).toMatchObject({ id, status: 'new', totalCents: 1200, xactId: transaction })
  expect([paid?.prefix, paid?.topicKey]).toEqual(['shop', `order ${id} order.paid`])
  expect(stdout).toContain(placed?.fact.id)
  expect(stdout).toContain(paid?.fact.id)
  expect(more).toEqual([])
})
