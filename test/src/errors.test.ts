import { afterEach, describe, expect, it, vi } from 'vitest'
import * as errors from '../../src/errors.ts'

describe('errors', () => {
  const one = new errors.InvalidFactError(['eventType is missing'])

  it('know their kind', () => {
    expect(one).toBeInstanceOf(Error)
    expect(one).toBeInstanceOf(errors.FactlibError)
    expect(one).toBeInstanceOf(errors.InvalidFactError)
    expect(one).not.toBeInstanceOf(errors.EmitError)
    expect(one.name).toBe('InvalidFactError')
    expect(one.code).toBe('FACTLIB_INVALID_FACT')
    expect(one.message).toBe('The fact cannot be emitted: eventType is missing')
    expect(errors.isFactlibError(one)).toBe(true)
    expect(errors.isFactlibError(one, 'FACTLIB_INVALID_FACT')).toBe(true)
    expect(errors.isFactlibError(one, 'FACTLIB_EMIT_FAILED')).toBe(false)
    for (const other of [new Error('x'), { code: 'FACTLIB_INVALID_FACT' }, null, undefined, 'x']) {
      expect(errors.isFactlibError(other)).toBe(false)
      expect(other instanceof errors.FactlibError).toBe(false)
    }
  })

  it('keep their cause', () => {
    const cause = new Error('driver')
    expect(new errors.EmitError('no', { cause }).cause).toBe(cause)
  })

  it('can be extended by a user, who keeps the language’s instanceof', () => {
    class Own extends errors.EmitError {}
    const own = new Own('mine')
    expect(own).toBeInstanceOf(Own)
    expect(own).toBeInstanceOf(errors.EmitError)
    expect(new errors.EmitError('theirs')).not.toBeInstanceOf(Own)
  })

  it('have a line for each code in the table, and the class that it names', () => {
    const made = [
      one,
      new errors.NotInTransactionError('x'),
      new errors.EmitError('x'),
      new errors.UnseenWriteError('x'),
      new errors.ConfigurationError(['x']),
      new errors.DecodeError('x'),
    ]
    expect(Object.fromEntries(made.map(({ code, name }) => [code, name]))).toEqual(
      Object.fromEntries(Object.entries(errors.ERROR_CODES).map(([code, { className }]) => [code, className])),
    )
  })
})

describe('two copies of the package in one process', () => {
  afterEach(() => vi.resetModules())

  it('know each other’s errors, facts and configuration', async () => {
    const here = { ...errors, ...(await import('../../src/index.ts')) }
    vi.resetModules()
    const there = await import('../../src/index.ts')
    expect(there.InvalidFactError).not.toBe(here.InvalidFactError)
    const error = new there.InvalidFactError(['x'])
    expect(error).toBeInstanceOf(here.InvalidFactError)
    expect(error).toBeInstanceOf(here.FactlibError)
    expect(error).not.toBeInstanceOf(here.EmitError)
    expect(here.isFactlibError(error, 'FACTLIB_INVALID_FACT')).toBe(true)

    const fact = new there.Fact({ aggregateType: 'order', aggregateId: 1, eventType: 'order.created' })
    expect(fact).toBeInstanceOf(here.Fact)
    expect(Object.getPrototypeOf(fact)).not.toBe(here.Fact.prototype)
    there.configure({ prefix: 'shop' })
    const prepared = here.prepareEmission(fact)
    expect(prepared.facts[0]).toBe(fact)
    expect(prepared.result).toBe(fact.id)
    here.resetConfiguration()
    expect(there.currentDefaults().prefix).toBeUndefined()
  })
})
