/**
 * What an adapter could do wrong, whatever its ORM: the contract is run on each ORM's own transactions and rows with an
 * emission that goes elsewhere, and has to turn red.
 */
import { describe, it } from 'vitest'
import { type Emittable, emitWith, prepareEmission } from '../../src/emitter.ts'
import type { SqlExecutor } from '../../src/executor.ts'
import type { TestDatabase } from '../support/database.ts'
import {
  type AdapterUnderTest,
  type Emission,
  provesUnsafe,
  type SafetyEvidence,
  type SafetyRowName,
} from './transaction-safety.ts'

const OPTIONS = { prefix: 'shop', maxFactBytes: 2_000_000 }

type Broken<Tx> = Pick<AdapterUnderTest<Tx>, 'transaction' | 'emit' | 'emitOutside'>

/** Each makes the broken parts of one adapter anew. */
const WAYS = {
  'in a transaction of another connection': (adapter, { pool }) =>
    always(adapter, async (emission) => {
      const client = await pool.connect()
      try {
        await client.query('BEGIN')
        const ids = await emitWith(on(client), emission as Emittable, OPTIONS)
        await client.query('COMMIT')
        return ids
      } finally {
        client.release()
      }
    }),
  'without a transaction': (adapter, { pool }) =>
    always(adapter, (emission) => emitWith(on(pool), emission as Emittable, OPTIONS)),
  'after the commit': (adapter, { pool }) => {
    let later: Emission[] = []
    const broken = always(adapter, async (emission) => {
      const { facts, result } = prepareEmission(emission, OPTIONS)
      later.push(facts)
      return result
    })
    return {
      ...broken,
      async transaction(body) {
        try {
          await adapter.transaction(body)
        } catch (error) {
          later = []
          throw error
        }
        for (const emission of later.splice(0)) await emitWith(on(pool), emission as Emittable, OPTIONS)
      },
    }
  },
  nowhere: (adapter) => always(adapter, async (emission) => prepareEmission(emission, OPTIONS).result),
} as const satisfies Record<string, <Tx>(adapter: AdapterUnderTest<Tx>, database: TestDatabase) => Broken<Tx>>

type Way = keyof typeof WAYS

const ANY = Object.keys(WAYS) as readonly Way[]
const AT_ONCE: readonly Way[] = ['in a transaction of another connection', 'without a transaction']

/** Every row is here: a row that nothing can turn red proves nothing. */
const NOTICED_BY: Readonly<Record<SafetyRowName, readonly Way[]>> = {
  'a committed fact has the transaction id of its row': ANY,
  'a fact may be emitted before its row': ANY,
  'a thrown error leaves neither row nor fact': AT_ONCE,
  'a caught and rethrown database error leaves neither row nor fact': AT_ONCE,
  'a rolled back savepoint leaves neither row nor fact, and the rest is kept': ANY,
  'a released savepoint keeps row and fact': ANY,
  'a released savepoint of a rolled back transaction leaves neither': AT_ONCE,
  'many facts in one call come in order, with their ids': ANY,
  'outside a transaction it is refused, and nothing is written': ANY,
  'a committed transaction takes no more facts': ANY,
  'a rolled back transaction takes no more facts': ANY,
  'an aborted transaction takes no fact': ANY,
  'a read-only transaction may emit': ['nowhere'],
  "a fact emitted in another pool's transaction goes with that one": [...AT_ONCE, 'after the commit'],
  'parallel calls inside one transaction stay in it, in order': ANY,
  'parallel transactions keep their own facts': ANY,
  'a retried transaction emits the same bytes': ANY,
  'every payload arrives as it was emitted': ['nowhere'],
}

export interface ToBreak<Tx> {
  readonly adapter: AdapterUnderTest<Tx>
  readonly evidence: SafetyEvidence
  /** The database that the adapter writes to. */
  readonly database: TestDatabase
}

/** Proves for each row that it turns red when the adapter emits elsewhere; `make` is called when a test runs, not before. */
export function describeBrokenAdapters<Tx>(name: string, make: () => ToBreak<Tx>): void {
  describe(`the contract notices an adapter of ${name} that emits`, () => {
    for (const way of ANY) {
      const rows = (Object.keys(NOTICED_BY) as SafetyRowName[]).filter((row) => NOTICED_BY[row].includes(way))
      it.each(rows)(`${way}: %s`, async (row) => {
        const { adapter, evidence, database } = make()
        await provesUnsafe(
          row,
          { ...adapter, name: `${name}, emitting ${way},`, ...WAYS[way](adapter, database) },
          evidence,
        )
      })
    }
  })
}

function always<Tx>(
  { transaction }: AdapterUnderTest<Tx>,
  emit: (emission: Emission) => Promise<string | readonly string[]>,
): Broken<Tx> {
  return { transaction, emit: (_tx, emission) => emit(emission), emitOutside: emit }
}

function on(client: Pick<TestDatabase['pool'], 'query'>): SqlExecutor {
  return { execute: ({ text, values }) => client.query(text, [...values]) }
}
