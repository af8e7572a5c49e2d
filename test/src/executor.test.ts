import { expect, it } from 'vitest'
import { guardedExecutor } from '../../src/executor.ts'
import { emitOneStatement } from '../../src/statements.ts'

// What a driver may give; what PostgreSQL says of transactions is in test/contracts/executor.ts.

const fact = emitOneStatement({ prefix: 'shop', content: Buffer.from('x') })

it.each([
  ['no row', []],
  ['a row as an array', [['0/15E8A90 743']]],
  ['a row with other names', [{ OUTCOME: '0/15E8A90 743' }]],
  ['a number', [{ outcome: 743 }]],
])(
  'a driver that gives %s is told so, and the statement that was perhaps written is not sent again',
  async (_, rows) => {
    let sent = 0
    const executor = guardedExecutor({
      owner: {},
      ownerIsTransaction: true,
      refusal: 'outside',
      query: async () => {
        sent++
        return rows as never
      },
    })
    await expect(executor.execute(fact)).rejects.toThrow('the driver gave no outcome of the statement')
    expect(sent).toBe(1)
  },
)

it.each([true, false])(
  'a call that is made the moment the first one is answered does not overtake those that wait; owner is a transaction: %s',
  async (ownerIsTransaction) => {
    const sent: string[] = []
    let answer = () => {}
    const answered = new Promise<void>((resolve) => {
      answer = resolve
    })
    const executor = guardedExecutor({
      owner: {},
      ownerIsTransaction,
      refusal: 'outside',
      query: async ({ values }) => {
        sent.push(String(values.at(-1)))
        await answered
        return [{ outcome: ownerIsTransaction ? '0/15E8A90 743' : '0/15E8A90' }]
      },
    })
    const call = (name: string) => executor.execute(emitOneStatement({ prefix: 'shop', content: Buffer.from(name) }))
    const calls = ['first', 'second', 'third'].map(call)
    const later = calls[0]?.then(() => call('after the first'))
    // Whatever comes of the answer, some steps after it: no gap between the first call's end and the second one's start.
    const others = Array.from({ length: 12 }, async (_, steps) => {
      await answered
      for (let step = 0; step < steps; step++) await undefined
      await call('other')
    })
    answer()
    await Promise.all([...calls, later, ...others])
    const places = ['first', 'second', 'third', 'after the first'].map((name) => sent.indexOf(name))
    expect(places.slice(0, 3)).toEqual([0, 1, 2])
    expect(places[3]).toBeGreaterThan(2)
  },
)
