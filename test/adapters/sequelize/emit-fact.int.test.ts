import { inspect } from 'node:util'
import { QueryTypes, type Sequelize, Transaction } from 'sequelize'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { checkEmission, createEmitter } from '../../../adapters/sequelize/index.ts'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { encodeFact } from '../../../src/envelope/encode.ts'
import { ConfigurationError, EmitError, InvalidFactError, NotInTransactionError } from '../../../src/errors.ts'
import { Fact, type FactInput } from '../../../src/fact.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { createSlot, type TestSlot } from '../../support/slot.ts'
import { emitFact, openSequelize, refusedWhileEnding, useCls } from './sequelize-under-test.ts'

const SECRET = 'a-payload-that-nobody-may-read'
const fact: FactInput = { aggregateType: 'order', aggregateId: 1, eventType: 'order.created', payload: SECRET }

let database: TestDatabase
let slot: TestSlot
let sequelize: Sequelize
const opened: Sequelize[] = []

function open(options: Parameters<typeof openSequelize>[1] = {}): Sequelize {
  const instance = openSequelize(database.url, options)
  opened.push(instance)
  return instance
}

beforeAll(async () => {
  database = await createDatabase()
  slot = await createSlot(database)
  await database.query(
    'CREATE TABLE customers (id text PRIMARY KEY, xact_id xid8 NOT NULL DEFAULT pg_current_xact_id())',
  )
  sequelize = open()
})
beforeEach(async () => void (await slot.read()))
afterAll(() => Promise.all(opened.map((instance) => instance.close())))

/** A promise that is resolved by hand. */
function signal(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

const emittedTypes = async () => (await slot.read()).map(({ content }) => decodeFact(content).eventType)

describe('it is refused, and nothing is written', () => {
  const refused = async (emission: Promise<unknown>) => {
    await expect(emission).rejects.toBeInstanceOf(NotInTransactionError)
    expect(await slot.read()).toEqual([])
  }

  it('without a transaction', async () => {
    await refused(emitFact(sequelize, fact))
    await refused(emitFact(sequelize, [fact], {}))
    await refused(emitFact(sequelize, []))
  })

  it('with a transaction option that is none', async () => {
    await refused(emitFact(sequelize, fact, { transaction: {} as never }))
    await refused(emitFact(sequelize, fact, { transaction: sequelize as never }))
  })

  it('in a transaction of another instance', async () => {
    const other = open()
    await refused(other.transaction((transaction) => emitFact(sequelize, fact, { transaction })))
  })

  it('in a CLS transaction of another instance', async () => {
    const other = open()
    const cls = useCls()
    try {
      await refused(other.transaction(() => emitFact(sequelize, fact)))
    } finally {
      cls.stop()
    }
  })

  it('with transaction: null, inside a CLS transaction too', async () => {
    const cls = useCls()
    try {
      await refused(sequelize.transaction(() => emitFact(sequelize, fact, { transaction: null })))
    } finally {
      cls.stop()
    }
  })

  it('in a transaction that has not begun', async () => {
    await refused(emitFact(sequelize, fact, { transaction: new Transaction(sequelize, {}) }))
  })

  it('after an unmanaged transaction was committed or rolled back', async () => {
    for (const end of ['commit', 'rollback'] as const) {
      const transaction = await sequelize.transaction()
      await transaction[end]()
      await refused(emitFact(sequelize, fact, { transaction }))
      await refused(emitFact(sequelize, [], { transaction }))
    }
  })

  it('in a nested transaction that was rolled back, and in one whose outer transaction has ended', async () => {
    let open: Transaction | undefined
    await sequelize.transaction(async (transaction) => {
      const nested = await sequelize.transaction({ transaction })
      await nested.rollback()
      await expect(emitFact(sequelize, fact, { transaction: nested })).rejects.toBeInstanceOf(NotInTransactionError)
      open = await sequelize.transaction({ transaction })
    })
    await refused(emitFact(sequelize, fact, { transaction: open }))
  })

  it('in a nested transaction while the COMMIT of the outer one is on its way', async () => {
    const hooked = open()
    const [held, reached] = [signal(), signal()]
    hooked.addHook('beforeQuery', async (options: object & { completesTransaction?: boolean; bind?: unknown }) => {
      if (!options.completesTransaction) return
      reached.resolve()
      await held.promise
    })
    let nested: Transaction | undefined
    const committed = hooked.transaction(async (transaction) => {
      nested = await hooked.transaction({ transaction })
    })
    await reached.promise
    await refused(emitFact(hooked, fact, { transaction: nested }))
    held.resolve()
    await committed
    expect(await slot.read()).toEqual([])
  })

  it('in an ended transaction whose connection serves the next one', async () => {
    const single = open({ pool: { max: 1 } })
    let nested: Transaction | undefined
    const ended = await single.transaction(async (transaction) => {
      nested = await single.transaction({ transaction })
      return transaction
    })
    await single.transaction(async () => {
      for (const transaction of [ended, nested]) {
        await expect(emitFact(single, fact, { transaction })).rejects.toBeInstanceOf(NotInTransactionError)
      }
    })
    expect(await slot.read()).toEqual([])
  })

  it('when the transaction ends while a beforeQuery hook holds the statement up', async () => {
    const hooked = open({ pool: { max: 1 } })
    for (const kind of ['outer', 'nested'] as const) {
      const held = signal()
      const reached = signal()
      hooked.addHook('beforeQuery', 'hold', async (options: { bind?: unknown }) => {
        if (options.bind === undefined) return
        reached.resolve()
        await held.promise
      })
      let late: Promise<unknown> = Promise.resolve()
      await hooked.transaction(async (transaction) => {
        const inner = kind === 'outer' ? transaction : await hooked.transaction({ transaction })
        late = emitFact(hooked, fact, { transaction: inner })
        late.catch(() => {})
        await reached.promise
      })
      hooked.removeHook('beforeQuery', 'hold')
      // The connection now serves somebody else's transaction.
      await hooked.transaction(async () => {
        held.resolve()
        await expect(late).rejects.toBeInstanceOf(NotInTransactionError)
      })
    }
    expect(await slot.read()).toEqual([])
  })
})

describe('the statement', () => {
  it('is one for many facts', async () => {
    const messages: string[] = []
    const logged = open({ logging: (message) => messages.push(message) })
    const ids = await logged.transaction(async (transaction) => {
      messages.length = 0
      const emitted = await emitFact(logged, [fact, fact, fact], { transaction })
      expect(messages).toHaveLength(1)
      return emitted
    })
    const facts = (await slot.read()).map(({ content }) => decodeFact(content).id)
    expect(facts).toEqual(ids)
  })

  for (const benchmark of [false, true]) {
    it(`is logged without the payload, benchmark ${benchmark}`, async () => {
      const calls: unknown[][] = []
      const bytes = new Fact(fact)
      const logged = open({ benchmark, logQueryParameters: true, logging: (...call) => calls.push(call) })
      await logged.transaction(async (transaction) => {
        await emitFact(logged, bytes, { transaction })
        await emitFact(logged, [bytes, bytes], { transaction })
      })
      const ours = calls.filter(([message]) => String(message).includes('pg_logical_emit_message'))
      expect(ours).toHaveLength(2)
      for (const call of ours) {
        const shown = JSON.stringify(call, (key, value) => (key === 'transaction' ? undefined : value))
        expect(shown).not.toContain(Buffer.from(encodeFact(bytes)).toString('base64'))
        expect(shown).not.toContain([...encodeFact(bytes)].join(','))
        expect(shown).not.toContain(SECRET)
      }
      if (benchmark) expect(typeof ours[0]?.[1]).toBe('number')
    })
  }

  it('is not logged when logging is off, and by console.log when nothing is said', async () => {
    const lines: unknown[][] = []
    const log = console.log
    console.log = (...line) => lines.push(line)
    try {
      const silent = open({ logging: false })
      await silent.transaction((transaction) => emitFact(silent, fact, { transaction }))
      expect(lines).toEqual([])
      const talkative = open({ logging: console.log, benchmark: true, logQueryParameters: true })
      await talkative.transaction((transaction) => emitFact(talkative, fact, { transaction }))
    } finally {
      console.log = log
    }
    const [line] = lines.filter(([text]) => String(text).includes('pg_logical_emit_message'))
    expect(line).toEqual([expect.stringMatching(/^Executed \(.+\): SELECT .+ AS lsn Elapsed time: \d+ms$/)])
  })

  it('is sent once, whatever retry the instance has', async () => {
    const retrying = open({ retry: { max: 5, match: [/the hook/] } })
    let failures = 0
    retrying.addHook('afterQuery', (options: { bind?: unknown }) => {
      if (options.bind === undefined) return
      failures += 1
      throw new Error('the hook failed')
    })
    await retrying.transaction((transaction) => emitFact(retrying, fact, { transaction }).catch(() => {}))
    expect(failures).toBe(1)
    expect(await slot.read()).toHaveLength(1)
  })

  it('does not mind the query defaults, search path and identifier settings of the instance', async () => {
    const odd = open({
      query: { type: QueryTypes.SHOWINDEXES, plain: true, nest: true, raw: false } as never,
      quoteIdentifiers: false,
      minifyAliases: true,
      dialectOptions: { prependSearchPath: true },
    })
    const transaction = await odd.transaction()
    await emitFact(odd, fact, { transaction })
    await emitFact(odd, [fact, fact], { transaction })
    await transaction.commit()
    expect(await slot.read()).toHaveLength(3)
    expect(await checkEmission(odd, { slot: slot.name })).toMatchObject({ ok: true })
  })

  it('goes to the primary, where reads go to a replica', async () => {
    const url = new URL(database.url)
    const host = { host: url.hostname, port: url.port, username: url.username, password: url.password }
    const replicated = open({
      // Nobody listens there: a statement that went to the replica would fail.
      replication: { write: { ...host, database: database.name }, read: [{ ...host, port: '1', database: 'none' }] },
    })
    await replicated.transaction((transaction) => emitFact(replicated, fact, { transaction }))
    expect(await slot.read()).toHaveLength(1)
    expect(await checkEmission(replicated, { slot: slot.name })).toMatchObject({ ok: true })
  })
})

describe('errors', () => {
  it('an EmitError has the cause, and no payload anywhere', async () => {
    const bytes = new Fact(fact)
    const error = await sequelize
      .transaction(async (transaction) => {
        await sequelize.query('SELECT 1 / 0', { transaction }).catch(() => {})
        await emitFact(sequelize, [bytes], { transaction })
      })
      .then(
        () => undefined,
        (reason: unknown) => reason,
      )
    expect(error).toBeInstanceOf(EmitError)
    expect(error).toMatchObject({ code: 'FACTLIB_EMIT_FAILED', cause: { original: { code: '25P02' } } })
    const shown = inspect(error, { depth: 10, showHidden: true, maxStringLength: null })
    expect(shown).not.toContain('parameters')
    expect(shown).not.toContain(Buffer.from(encodeFact(bytes)).toString('base64'))
  })

  it('the database’s own refusal is told from a transaction that is over', async () => {
    const error = await refusedWhileEnding(open)
    expect(error).toMatchObject({ code: 'FACTLIB_EMIT_FAILED', message: expect.stringContaining('25P02') })
  })

  it('an invalid fact is told before anything is sent, and the transaction goes on', async () => {
    await sequelize.transaction(async (transaction) => {
      await expect(emitFact(sequelize, [fact, {} as FactInput], { transaction })).rejects.toBeInstanceOf(
        InvalidFactError,
      )
      await emitFact(sequelize, { ...fact, eventType: 'order.kept' }, { transaction })
    })
    expect(await emittedTypes()).toEqual(['order.kept'])
  })

  it('createEmitter names every bad setting', () => {
    expect(() => createEmitter({ prefix: 'a b', colour: 'red' } as never)).toThrow(ConfigurationError)
  })
})

it('settings of the fact come before those of the call, and these before the emitter’s', async () => {
  await sequelize.transaction(async (transaction) => {
    await emitFact(sequelize, fact, { transaction, prefix: undefined })
    await emitFact(sequelize, fact, { transaction, prefix: 'call' })
    await emitFact(sequelize, { ...fact, prefix: 'own' }, { transaction, prefix: 'call' })
  })
  expect((await slot.read()).map(({ prefix }) => prefix)).toEqual(['shop', 'call', 'own'])
})

it('a read-only transaction may emit', async () => {
  await sequelize.transaction({ readOnly: true }, (transaction) => emitFact(sequelize, fact, { transaction }))
  expect(await slot.read()).toHaveLength(1)
})

it('checkEmission looks at the server that the instance writes to', async () => {
  expect(await checkEmission(sequelize, { slot: slot.name })).toMatchObject({ ok: true, problems: [] })
  expect(await checkEmission(sequelize, { slot: 'nobody' })).toMatchObject({ ok: false })
  await sequelize.transaction(async (transaction) => {
    expect(await checkEmission(sequelize, { slot: slot.name, transaction })).toMatchObject({ ok: true })
  })
})
