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
