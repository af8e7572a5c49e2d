import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { configure, resetConfiguration } from '../../src/config.ts'
import type { EmitEvent } from '../../src/diagnostics.ts'
import { emitWith, prepareEmission } from '../../src/emitter.ts'
import { decodeFact } from '../../src/envelope/decode.ts'
import { encodeFact } from '../../src/envelope/encode.ts'
import { EmitError, InvalidFactError, NotInTransactionError } from '../../src/errors.ts'
import { Fact, type FactInput } from '../../src/fact.ts'
import type { Statement } from '../../src/statements.ts'

const input: FactInput = { aggregateType: 'order', aggregateId: 1, eventType: 'order.created', payload: { total: 12 } }

beforeEach(() => vi.stubEnv('FACTLIB_PREFIX', undefined))
afterEach(() => {
  vi.unstubAllEnvs()
  resetConfiguration()
})

function problemsOf(work: () => unknown): readonly string[] {
  try {
    work()
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidFactError)
    return (error as InvalidFactError).problems
  }
  return []
}

describe('prepareEmission', () => {
  it('makes a statement of one fact', () => {
    const { facts, statement, result } = prepareEmission(input, { prefix: 'shop' })
    expect(result).toBe(facts[0]!.id)
    expect(statement!.text).toBe('SELECT pg_logical_emit_message(true, $1::text, $2::bytea)::text AS lsn')
    expect(statement!.strings.join('?')).toBe('SELECT pg_logical_emit_message(true, ?::text, ?::bytea)::text AS lsn')
    expect(statement!.values).toEqual(['shop', Buffer.from(encodeFact(facts[0]!))])
    expect(Buffer.isBuffer(statement!.values[1])).toBe(true)
  })

  it('makes one statement with one parameter of an array', () => {
    const { facts, statement, result } = prepareEmission([input, { ...input, prefix: 'other' }, new Fact(input)], {
      prefix: 'shop',
    })
    expect(result).toEqual(facts.map(({ id }) => id))
    expect(statement!.values).toHaveLength(1)
    const rows = JSON.parse(statement!.values[0] as string)
    expect(rows.map(([prefix]: [string]) => prefix)).toEqual(['shop', 'other', 'shop'])
    expect(rows.map(([, content]: [string, string]) => decodeFact(Buffer.from(content, 'base64')).id)).toEqual(result)
    expect(statement!.text).toContain('$1::text::json')
  })

  it('has nothing to send for an empty array', () => {
    expect(prepareEmission([])).toEqual({ facts: [], messages: [], statement: undefined, result: [] })
  })

  it('takes the prefix of the fact, of the emitter, of configure, of the environment, in this order', () => {
    const prefixOf = (fact: FactInput | Fact, options?: { prefix?: string }) =>
      prepareEmission(fact, options).statement!.values[0]
    vi.stubEnv('FACTLIB_PREFIX', 'environment')
    expect(prefixOf(input)).toBe('environment')
    configure({ prefix: 'configured' })
    expect(prefixOf(input)).toBe('configured')
    expect(prefixOf(input, { prefix: '' })).toBe('configured')
    expect(prefixOf(input, { prefix: 'option' })).toBe('option')
    expect(prefixOf({ ...input, prefix: 'own' }, { prefix: 'option' })).toBe('own')
    expect(prefixOf({ ...input, prefix: '' }, { prefix: 'option' })).toBe('option')
    expect(prefixOf(new Fact(input).withPrefix('own'), { prefix: 'option' })).toBe('own')
  })

  it('says how to set a missing prefix, together with everything else', () => {
    expect(problemsOf(() => prepareEmission(input))).toEqual([
      "prefix is missing: give the fact or the emitter one, call configure({ prefix: '…' }), or set FACTLIB_PREFIX",
    ])
    expect(problemsOf(() => prepareEmission({ ...input, eventType: '' }))).toEqual([
      expect.stringMatching(/^eventType is empty/),
      expect.stringMatching(/^prefix is missing/),
    ])
  })

  it('lists the problems of all facts of an array, each with its place', () => {
    const work = () =>
      prepareEmission(
        [
          input,
          { ...input, aggregateType: '', eventType: '' },
          input,
          null as never,
          new Fact({ ...input, prefix: 'p' }),
        ],
        {
          prefix: 'x'.repeat(244),
        },
      )
    expect(problemsOf(work).map((problem) => problem.slice(0, 40))).toEqual([
      'facts[0]: prefix and aggregateType make a topic of 250 characters'.slice(0, 40),
      'facts[1]: aggregateType is empty: give what the'.slice(0, 40),
      'facts[1]: eventType is empty: give what happened'.slice(0, 40),
      'facts[2]: prefix and aggregateType make a topic'.slice(0, 40),
      'facts[3]: the fact is null: give { aggregateType'.slice(0, 40),
    ])
  })

  it('refuses a hole in an array, with its place', () => {
    // biome-ignore lint/suspicious/noSparseArray: this is what a list with an element left out looks like.
    const holed = [input, , input] as FactInput[]
    expect(problemsOf(() => prepareEmission(holed, { prefix: 'shop' }))).toEqual([
      expect.stringMatching(/^facts\[1\]: the fact is undefined/),
    ])
  })

  it('refuses a prefix of the environment that no topic can have', () => {
    vi.stubEnv('FACTLIB_PREFIX', 'a/b')
    expect(problemsOf(() => prepareEmission(input))).toEqual([expect.stringMatching(/^prefix has characters/)])
  })

  it('refuses an envelope beyond maxFactBytes: of the emitter, of configure, of 1,000,000', () => {
    const sized = (bytes: number) => {
      const fact = new Fact({ ...input, payload: new Uint8Array(bytes) })
      return new Fact({ ...input, payload: new Uint8Array(bytes - (encodeFact(fact).byteLength - bytes)) })
    }
    expect(encodeFact(sized(1_000_000)).byteLength).toBe(1_000_000)
    const options = { prefix: 'shop' }
    expect(problemsOf(() => prepareEmission(sized(1_000_000), options))).toEqual([])
    expect(problemsOf(() => prepareEmission(sized(1_000_001), options))).toEqual([
      expect.stringMatching(/^the fact has 1000001 bytes as an envelope: maxFactBytes is 1000000/),
    ])
    configure({ maxFactBytes: 500 })
    expect(problemsOf(() => prepareEmission(sized(501), options))).toHaveLength(1)
    expect(problemsOf(() => prepareEmission(sized(501), { ...options, maxFactBytes: 501 }))).toEqual([])
  })

  it('refuses more than 100,000,000 bytes in one call', () => {
    const large = new Fact({ ...input, payload: new Uint8Array(999_000) })
    const problems = problemsOf(() => prepareEmission(new Array(101).fill(large), { prefix: 'shop' }))
    expect(problems).toEqual([expect.stringMatching(/bytes together: emit at most 100000000/)])
  })

  it('refuses a decoded fact that no new one could be', () => {
    const problems = problemsOf(() => prepareEmission(decodeFact(Buffer.from('120161', 'hex')), { prefix: 'shop' }))
    expect(problems.map((problem) => problem.split(' ')[0])).toEqual(['id', 'aggregateId', 'eventType'])
  })

  it('emits a fact again as the same bytes', () => {
    const fact = new Fact({ ...input, prefix: 'shop' })
    expect(prepareEmission(fact).statement).toEqual(prepareEmission(fact).statement)
  })

  it('asks the emitter’s own trace source and serialize', () => {
    const options = {
      prefix: 'shop',
      trace: () => ({ traceId: 't', spanId: 's', metadata: {} }),
      serialize: () => 'own',
    }
    const [fact] = prepareEmission([input], options).facts
    expect([fact!.trace?.traceId, fact!.text()]).toEqual(['t', 'own'])
  })
})

describe('emitWith', () => {
  const told: EmitEvent[] = []
  const listen = (event: unknown) => void told.push(event as EmitEvent)
  beforeEach(() => subscribe('factlib:emit', listen))
  afterEach(() => {
    unsubscribe('factlib:emit', listen)
    told.length = 0
  })

  it('executes the statement once, resolves to the id, and tells of it', async () => {
    const executed: Statement[] = []
    const executor = { execute: async (statement: Statement) => void executed.push(statement) }
    const fact = new Fact(input)
    expect(await emitWith(executor, fact, { prefix: 'shop' })).toBe(fact.id)
    expect(await emitWith(executor, [fact, fact], { prefix: 'shop' })).toEqual([fact.id, fact.id])
    expect(await emitWith(executor, [], { prefix: 'shop' })).toEqual([])
    expect(executed).toHaveLength(2)
    expect(told.map(({ phase, count }) => [phase, count])).toEqual([
      ['start', 1],
      ['end', 1],
      ['start', 2],
      ['end', 2],
    ])
    expect(told[1]!.facts).toEqual([
      {
        id: fact.id,
        aggregateType: 'order',
        eventType: 'order.created',
        topic: 'shop.order',
        bytes: expect.any(Number),
      },
    ])
    expect(told[1]!.facts[0]!.bytes).toBe(encodeFact(fact).byteLength)
    expect(told[1]!.emission).toBe(told[0]!.emission)
    expect(told[2]!.emission).not.toBe(told[0]!.emission)
    expect(told[1]!.seconds).toBeGreaterThan(0)
    expect(JSON.stringify(told)).not.toContain('total')
  })

  it.each(['heard', 'not heard'])(
    'makes an EmitError of what an executor throws before it has a promise; %s',
    async (how) => {
      if (how === 'not heard') unsubscribe('factlib:emit', listen)
      const execute = () => {
        throw new RangeError('secret')
      }
      const error = await emitWith({ execute }, input, { prefix: 'shop' }).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(EmitError)
      expect((error as Error).message).not.toContain('secret')
      expect((error as Error).cause).toBeInstanceOf(RangeError)
    },
  )

  it('makes an EmitError of the driver’s, with its SQLSTATE and without its message', async () => {
    const wrapped = new Error('Failed query: … params: shop,secret', {
      cause: Object.assign(new Error('secret'), { code: '25P02' }),
    })
    const error = await emitWith({ execute: () => Promise.reject(wrapped) }, { ...input, prefix: 'shop' }).catch(
      (caught) => caught,
    )
    expect(error).toBeInstanceOf(EmitError)
    expect(error.message).toBe('the database did not take the fact order order.created (SQLSTATE 25P02): see cause')
    expect(error.cause).toBe(wrapped)
    expect(told.map(({ phase }) => phase)).toEqual(['start', 'error'])
    expect(told[1]!.error).toBe(error)
    const lost = Object.assign(new Error('x'), { code: 'ECONNREFUSED' })
    await expect(emitWith({ execute: () => Promise.reject(lost) }, [input, input], { prefix: 'shop' })).rejects.toThrow(
      'the database did not take the 2 facts: see cause',
    )
  })

  it('leaves an executor’s NotInTransactionError as it is', async () => {
    const error = new NotInTransactionError('open a transaction')
    await expect(emitWith({ execute: () => Promise.reject(error) }, input, { prefix: 'shop' })).rejects.toBe(error)
  })

  it('executes nothing when a fact is invalid, and rejects rather than throws', async () => {
    const executor = { execute: () => expect.unreachable() }
    await expect(emitWith(executor, [input, { ...input, eventType: '' }], { prefix: 'shop' })).rejects.toThrow(
      InvalidFactError,
    )
  })
})
