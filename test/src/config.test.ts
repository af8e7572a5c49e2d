import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { configure, currentDefaults, resetConfiguration } from '../../src/config.ts'
import { ConfigurationError } from '../../src/errors.ts'

beforeEach(() => vi.stubEnv('FACTLIB_PREFIX', undefined))
afterEach(() => {
  vi.unstubAllEnvs()
  resetConfiguration()
})

describe('configure', () => {
  it('sets what is given and leaves the rest', () => {
    const trace = () => undefined
    configure({ prefix: 'shop', trace })
    configure({ maxFactBytes: 10, prefix: undefined })
    expect(currentDefaults()).toEqual({ prefix: 'shop', trace, serialize: undefined, maxFactBytes: 10 })
    resetConfiguration()
    expect(currentDefaults()).toEqual({
      prefix: undefined,
      trace: undefined,
      serialize: undefined,
      maxFactBytes: 1_000_000,
    })
  })

  it('tells every problem at once, and changes nothing', () => {
    configure({ prefix: 'shop' })
    const wrong = { prefix: 'a b', trace: 1, serialize: 'json', maxFactBytes: 0, prefx: 'x' } as never
    expect(() => configure(wrong)).toThrow(ConfigurationError)
    try {
      configure(wrong)
    } catch (error) {
      expect((error as ConfigurationError).problems).toEqual([
        'unknown setting "prefx": there are prefix, trace, serialize, maxFactBytes',
        expect.stringMatching(/^prefix has characters/),
        'trace is a number: give a function',
        'serialize is a string: give a function',
        'maxFactBytes has to be a whole number of bytes above 0',
      ])
    }
    expect(currentDefaults().prefix).toBe('shop')
    expect(() => configure(undefined as never)).toThrow(/the settings are undefined/)
  })

  it('does not keep the caller’s object', () => {
    const settings = { prefix: 'shop' }
    configure(settings)
    settings.prefix = 'other'
    expect(currentDefaults().prefix).toBe('shop')
  })
})

describe('FACTLIB_PREFIX', () => {
  it('is read when it is used; configure comes before it; empty counts as not set in both', () => {
    expect(currentDefaults().prefix).toBeUndefined()
    vi.stubEnv('FACTLIB_PREFIX', 'from-environment')
    expect(currentDefaults().prefix).toBe('from-environment')
    configure({ prefix: '' })
    expect(currentDefaults().prefix).toBe('from-environment')
    configure({ prefix: 'configured' })
    expect(currentDefaults().prefix).toBe('configured')
    resetConfiguration()
    vi.stubEnv('FACTLIB_PREFIX', '')
    expect(currentDefaults().prefix).toBeUndefined()
  })
})

it('refuses the prefix of the relay’s heartbeat: no relay would produce its facts', () => {
  expect(() => configure({ prefix: 'factlib.heartbeat' })).toThrow("is the relay's own")
  expect(() => configure({ prefix: 'factlib.heartbeats' })).not.toThrow()
})
