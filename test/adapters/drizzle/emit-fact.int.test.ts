import { inspect } from 'node:util'
import { sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { bigint, pgTable, withReplicas } from 'drizzle-orm/pg-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { checkEmission, createEmitter, guardTransactions } from '../../../adapters/drizzle/index.ts'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { ConfigurationError, EmitError, InvalidFactError, NotInTransactionError } from '../../../src/errors.ts'
import type { FactInput } from '../../../src/fact.ts'
import { createSafetyEvidence } from '../../contracts/safety-evidence.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { createSlot, type TestSlot } from '../../support/slot.ts'
import {
  customers,
  type Db,
  type DriverName,
  drivers,
  emitFact,
  inTransaction,
  type OpenedDrizzle,
  type OpenOptions,
  type Tx,
} from './drizzle-under-test.ts'

const SECRET = 'a-payload-that-nobody-may-read'
const fact: FactInput = { aggregateType: 'order', aggregateId: 1, eventType: 'order.created', payload: SECRET }
const named = (eventType: string): FactInput => ({ ...fact, eventType })

let database: TestDatabase
let slot: TestSlot

beforeAll(async () => {
  database = await createDatabase()
  await createSafetyEvidence(database)
  slot = await createSlot(database)
})
beforeEach(async () => void (await slot.read()))

const emittedTypes = async () => (await slot.read()).map(({ content }) => decodeFact(content).eventType)

let rows = 0
const insertRow = async (tx: Tx) => {
  rows += 1
  await tx.insert(customers).values({ id: `row-${rows}` })
}

/** A promise that is resolved by hand. */
function signal(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

for (const driver of Object.keys(drivers) as DriverName[]) {
  describe(driver, () => {
    const opened: OpenedDrizzle[] = []
    let main: OpenedDrizzle

    const open = async (options: Partial<OpenOptions> = {}) => {
      const one = await drivers[driver]({ url: database.url, ...options })
      opened.push(one)
      return one
    }
    const openDb = async (options?: Partial<OpenOptions>): Promise<Db> => (await open(options)).db

    beforeAll(async () => {
      main = await open()
    })
    afterAll(() => Promise.all(opened.map((one) => one.close())))

    const refused = async (emission: Promise<unknown>) => {
      await expect(emission).rejects.toBeInstanceOf(NotInTransactionError)
    }

    describe('round trips', () => {
      const ours = () => main.logged.filter((query) => query.includes('pg_logical_emit_message')).length

      it('one for a fact, and one for many', async () => {
        await inTransaction(main.db, async (tx) => {
          await insertRow(tx)
          const before = ours()
          await emitFact(tx, named('one'))
          expect(ours()).toBe(before + 1)
          await emitFact(tx, [named('two'), named('three'), named('four')])
          expect(ours()).toBe(before + 2)
        })
        expect(await emittedTypes()).toEqual(['one', 'two', 'three', 'four'])
      })

      it('two for a fact that is the first write of its transaction, one for those after it', async () => {
        await inTransaction(main.db, async (tx) => {
          const before = ours()
          await emitFact(tx, named('one'))
          expect(ours()).toBe(before + 2)
          await emitFact(tx, named('two'))
          expect(ours()).toBe(before + 3)
        })
        expect(await emittedTypes()).toEqual(['one', 'two'])
      })
    })

    it('facts that are emitted at once as the first write keep their order', async () => {
      await inTransaction(main.db, async (tx) => {
        await Promise.all(['one', 'two', 'three', 'four'].map((name) => emitFact(tx, named(name))))
      })
      expect(await emittedTypes()).toEqual(['one', 'two', 'three', 'four'])
    })

    it('a first emission that failed does not hold up the next ones', async () => {
      const outcomes: unknown[] = []
      await inTransaction(main.db, async (tx) => {
        await tx.execute(sql`SELECT 1 / 0`).catch(() => {})
        const emissions = await Promise.allSettled([emitFact(tx, fact), emitFact(tx, fact)])
        outcomes.push(...emissions.map((outcome) => outcome.status === 'rejected' && outcome.reason))
      }).catch(() => {})
      expect(outcomes).toEqual([expect.any(EmitError), expect.any(EmitError)])
    })

    describe('a transaction that is over is refused', () => {
      it('in autocommit, whether it has emitted before or not', async () => {
        const seen = await inTransaction(main.db, async (tx) => {
          await emitFact(tx, named('kept'))
          return tx
        })
        const unseen = await inTransaction(main.db, async (tx) => {
          await insertRow(tx)
          return tx
        })
        for (const tx of [seen, unseen]) {
          await refused(emitFact(tx, fact))
          await refused(emitFact(tx, [fact, fact]))
        }
        expect(await emittedTypes()).toEqual(['kept'])
      })

      it('inside the next transaction of its connection, when it has emitted before', async () => {
        const db = await openDb({ maxConnections: 1 })
        const seen = await inTransaction(db, async (tx) => {
          await emitFact(tx, named('kept'))
          return tx
        })
        await inTransaction(db, async (tx) => {
          await refused(emitFact(seen, fact))
          await insertRow(tx)
          await refused(emitFact(seen, fact))
        })
        expect(await emittedTypes()).toEqual(['kept'])
      })

      it('inside the next transaction of its connection, always when db is guarded', async () => {
        const db = guardTransactions(await openDb({ maxConnections: 1 }))
        let late: Promise<unknown> = Promise.resolve()
        const next = signal()
        await inTransaction(db, async (tx) => {
          await insertRow(tx)
          // The forgotten await.
          late = next.promise.then(() => emitFact(tx, fact))
          late.catch(() => {})
        })
        await inTransaction(db, async (tx) => {
          await insertRow(tx)
          next.resolve()
          await refused(late)
        })
        expect(await slot.read()).toEqual([])
      })

      it('once the callback of a nested one has settled, when db is guarded', async () => {
        const db = guardTransactions(await openDb())
        await inTransaction(db, async (tx) => {
          await insertRow(tx)
          const released = await inTransaction(tx, async (nested) => nested)
          await refused(emitFact(released, fact))
          let rolledBack: Tx | undefined
          await inTransaction(tx, async (nested) => {
            rolledBack = nested
            throw new Error('roll back')
          }).catch(() => {})
          await refused(emitFact(rolledBack as Tx, fact))
          await emitFact(tx, named('kept'))
        })
        expect(await emittedTypes()).toEqual(['kept'])
      })

      it('when the one that it is nested in is over, when db is guarded', async () => {
        const db = guardTransactions(await openDb({ maxConnections: 1 }))
        const [began, end] = [signal(), signal()]
        let open: Tx | undefined
        let nested: Promise<void> = Promise.resolve()
        await inTransaction(db, async (tx) => {
          nested = inTransaction(tx, async (inner) => {
            open = inner
            began.resolve()
            await end.promise
          })
          nested.catch(() => {})
          await began.promise
        })
        await inTransaction(db, async (tx) => {
          await insertRow(tx)
          await refused(emitFact(open as Tx, fact))
        })
        end.resolve()
        // Its savepoint is gone: whether Drizzle tells depends on the driver.
        await nested.catch(() => {})
        expect(await slot.read()).toEqual([])
      })

      it('while the first fact of the transaction is on its way, when db is guarded', async () => {
        const db = guardTransactions(await openDb())
        let late: Promise<unknown>[] = []
        await inTransaction(db, async (tx) => {
          late = [emitFact(tx, fact), emitFact(tx, fact)]
          for (const one of late) one.catch(() => {})
        }).catch(() => {})
        for (const one of late) await refused(one)
        expect(await slot.read()).toEqual([])
      })
    })

    it('guarding twice is guarding once, and keeps the settings of a transaction', async () => {
      const db = guardTransactions(guardTransactions(await openDb()))
      const shown = await (db as NodePgDatabase).transaction(
        async (tx) => {
          await emitFact(tx, named('read only'))
          return inspect(await tx.execute(sql`SHOW transaction_read_only`))
        },
        { accessMode: 'read only' },
      )
      expect(shown).toContain("transaction_read_only: 'on'")
      expect(await emittedTypes()).toEqual(['read only'])
    })

    it('db is refused, with replicas too, and nothing is written', async () => {
      await refused(emitFact(main.db as unknown as Tx, fact))
      await refused(emitFact(main.db as unknown as Tx, []))
      await refused(emitFact(undefined as unknown as Tx, fact))
      const replicated = withReplicas(main.db as NodePgDatabase, [main.db as NodePgDatabase])
      await refused(emitFact(replicated as unknown as Tx, fact))
      await replicated.transaction((tx) => emitFact(tx, named('kept')))
      expect(await emittedTypes()).toEqual(['kept'])
    })

    it('casing does not touch it', async () => {
      await database.query('CREATE TABLE IF NOT EXISTS cased (some_id bigint)')
      const cased = pgTable('cased', { someId: bigint({ mode: 'number' }) })
      const db = await openDb({ casing: 'snake_case' })
      await inTransaction(db, async (tx) => {
        await tx.insert(cased).values({ someId: 1 })
        await emitFact(tx, [named('one'), named('two')])
      })
      expect(await emittedTypes()).toEqual(['one', 'two'])
    })

    it('an EmitError has the driver’s error as its cause, and no payload in its text', async () => {
      const error = await inTransaction(main.db, async (tx) => {
        await tx.execute(sql`SELECT 1 / 0`).catch(() => {})
        await emitFact(tx, fact)
      }).then(
        () => undefined,
        (reason: unknown) => reason,
      )
      expect(error).toBeInstanceOf(EmitError)
      expect(error).toMatchObject({ cause: { code: '25P02' } })
      const shown = inspect(error, { depth: 10 })
      expect(shown).not.toContain(SECRET)
      expect(shown).not.toContain(Buffer.from(SECRET).toString('hex').slice(0, 20))
    })

    it('an invalid fact is told before anything is sent, and the transaction goes on', async () => {
      await inTransaction(main.db, async (tx) => {
        await expect(emitFact(tx, [fact, {} as FactInput])).rejects.toBeInstanceOf(InvalidFactError)
        await emitFact(tx, named('kept'))
      })
      expect(await emittedTypes()).toEqual(['kept'])
    })

    it('checkEmission asks this database, through db and through a transaction', async () => {
      expect(await checkEmission(main.db, { slot: slot.name })).toMatchObject({ ok: true, problems: [] })
      expect(await checkEmission(main.db, { slot: 'nobody' })).toMatchObject({ ok: false })
      await inTransaction(main.db, async (tx) => {
        expect(await checkEmission(tx, { slot: slot.name })).toMatchObject({ ok: true })
      })
    })

    it('settings of the fact come before those of the call, and these before the emitter’s', async () => {
      await inTransaction(main.db, async (tx) => {
        await emitFact(tx, fact, { prefix: undefined })
        await emitFact(tx, fact, { prefix: 'call' })
        await emitFact(tx, { ...fact, prefix: 'own' }, { prefix: 'call' })
      })
      expect((await slot.read()).map(({ prefix }) => prefix)).toEqual(['shop', 'call', 'own'])
    })
  })
}

it('createEmitter names every bad setting', () => {
  expect(() => createEmitter({ prefix: 'a b', colour: 'red' } as never)).toThrow(ConfigurationError)
})
