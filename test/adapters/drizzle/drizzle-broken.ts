import type { sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { describe, it } from 'vitest'
import { drizzleQuery } from '../../../adapters/drizzle/drizzle-like.ts'
import { emitWith } from '../../../src/emitter.ts'
import {
  type AdapterUnderTest,
  provesUnsafe,
  type SafetyEvidence,
  type SafetyRowName,
} from '../../contracts/transaction-safety.ts'
import { type Db, emitFact, inTransaction, type Tx } from './drizzle-under-test.ts'

type Adapter = AdapterUnderTest<Tx>

/** The statement as the core makes it, without what asks PostgreSQL for the transaction. */
const unguarded = (owner: Tx | Db): Adapter['emit'] => {
  const execute = async (text: string, values: readonly (string | Uint8Array)[]) =>
    (owner as NodePgDatabase).execute(drizzleQuery(text, values) as ReturnType<typeof sql>)
  return (_tx, emission) =>
    emitWith({ execute: ({ text, values }) => execute(text, values) }, emission, { prefix: 'shop' })
}

const OTHER_CONNECTION: readonly SafetyRowName[] = [
  'a committed fact has the transaction id of its row',
  'a fact may be emitted before its row',
  'a thrown error leaves neither row nor fact',
  'a caught and rethrown database error leaves neither row nor fact',
  'a rolled back savepoint leaves neither row nor fact, and the rest is kept',
  'a released savepoint keeps row and fact',
  'a released savepoint of a rolled back transaction leaves neither',
  'many facts in one call come in order, with their ids',
  'a committed transaction takes no more facts',
  'a rolled back transaction takes no more facts',
  'an aborted transaction takes no fact',
  'parallel transactions keep their own facts',
  'a retried transaction emits the same bytes',
]

interface Broken {
  readonly change: (adapter: Adapter, db: Db, other: Db) => Partial<Adapter>
  readonly rows: readonly SafetyRowName[]
}

/** What an adapter could do wrong, and the rows that notice. */
const broken: Record<string, Broken> = {
  'in a transaction of another connection': {
    change: (_adapter, _db, other) => ({
      emit: (_tx, emission) => inTransaction(other, (own) => emitFact(own, emission)),
    }),
    rows: OTHER_CONNECTION,
  },
  'on the base client': {
    change: (_adapter, _db, other) => ({
      emit: (tx, emission) => unguarded(other)(tx, emission),
      emitOutside: (emission) => Promise.resolve(unguarded(other)({} as Tx, emission)),
    }),
    rows: [...OTHER_CONNECTION, 'outside a transaction it is refused, and nothing is written'],
  },
  'without asking PostgreSQL for the transaction': {
    change: () => ({ emit: (tx, emission) => unguarded(tx)(tx, emission) }),
    rows: ['a committed transaction takes no more facts', 'a rolled back transaction takes no more facts'],
  },
  'after the commit': {
    change: (adapter, _db, other) => {
      const later: (() => Promise<unknown>)[] = []
      return {
        transaction: async (body) => {
          await adapter.transaction(body)
          for (const emit of later.splice(0)) await emit()
        },
        emit: async (_tx, emission) => {
          later.push(() => inTransaction(other, (own) => emitFact(own, emission)))
          return Array.isArray(emission) ? [] : 'later'
        },
      }
    },
    rows: [
      'a committed fact has the transaction id of its row',
      'many facts in one call come in order, with their ids',
      'an aborted transaction takes no fact',
    ],
  },
}

/** Two clients of the same database, and how the contract uses the first. */
export interface ToBreak {
  readonly adapter: Adapter
  readonly db: Db
  readonly other: Db
  readonly evidence: SafetyEvidence
}

/** Runs every broken adapter; `make` is called when a test runs, not before. */
export function describeBrokenDrizzle(driver: string, make: () => ToBreak): void {
  describe(`the contract notices an adapter on ${driver} that emits`, () => {
    for (const [name, { change, rows }] of Object.entries(broken)) {
      describe(name, () => {
        it.each(rows)('%s', async (row) => {
          const { adapter, db, other, evidence } = make()
          await provesUnsafe(row, { ...adapter, name, ...change(adapter, db, other) }, evidence)
        })
      })
    }
  })
}
