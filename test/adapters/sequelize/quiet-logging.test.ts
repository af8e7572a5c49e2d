import { expect, it } from 'vitest'
import { quietLogging } from '../../../adapters/sequelize/quiet-logging.ts'

it('shows nothing of a message that it does not know: there may be parameters in it', () => {
  const logged: unknown[] = []
  const log = quietLogging({ options: { logging: (message: unknown) => logged.push(message) } }, 'SELECT $1')
  expect(log).toBeTypeOf('function')
  if (log !== false) log('Executing something else; "the payload"')
  expect(logged).toEqual(['Executing the statement of an emitted fact'])
})
