import type { Sequelize, Transaction } from 'sequelize'
import { describe, it } from 'vitest'
import { emitWith } from '../../../src/emitter.ts'
import {
  type AdapterUnderTest,
  provesUnsafe,
  type SafetyEvidence,
  type SafetyRowName,
} from '../../contracts/transaction-safety.ts'
import { emitFact } from './sequelize-under-test.ts'

type Emit = AdapterUnderTest<Transaction>['emit']

/** What an adapter could do wrong, and the rows that notice. */
const broken: Record<string, { readonly emit: (other: Sequelize) => Emit; readonly rows: readonly SafetyRowName[] }> = {
  'another pool': {
    emit: (other) => (_transaction, emission) =>
      other.transaction((own) => emitFact(other, emission, { transaction: own })),
    rows: [
      'a committed fact has the transaction id of its row',
      'a thrown error leaves neither row nor fact',
      'a caught and rethrown database error leaves neither row nor fact',
      'a rolled back savepoint leaves neither row nor fact, and the rest is kept',
      'a released savepoint keeps row and fact',
      'a released savepoint of a rolled back transaction leaves neither',
      'a committed transaction takes no more facts',
      'a rolled back transaction takes no more facts',
      'an aborted transaction takes no fact',
      'parallel transactions keep their own facts',
    ],
  },
  'no transaction': {
    emit: (other) => (_transaction, emission) =>
      emitWith({ execute: ({ text, values }) => other.query(text, { bind: [...values] }) }, emission, {
        prefix: 'shop',
      }),
    rows: [
      'a committed fact has the transaction id of its row',
      'a thrown error leaves neither row nor fact',
      'a rolled back savepoint leaves neither row nor fact, and the rest is kept',
      'a committed transaction takes no more facts',
      'an aborted transaction takes no fact',
    ],
  },
  'after the commit': {
    emit: (other) => async (transaction, emission) => {
      transaction.afterCommit(async () => {
        await other.transaction((own) => emitFact(other, emission, { transaction: own }))
      })
      return Array.isArray(emission) ? [] : 'later'
    },
    rows: [
      'a committed fact has the transaction id of its row',
      'many facts in one call come in order, with their ids',
    ],
  },
}

/** What the contract is run on, and the same database through a pool of its own. */
export interface ToBreak {
  readonly adapter: AdapterUnderTest<Transaction>
  readonly other: Sequelize
  readonly evidence: SafetyEvidence
}

/** Runs every broken adapter; `make` is called when a test runs, not before. */
export function describeBrokenSequelize(version: string, make: () => ToBreak): void {
  describe(`the contract notices an adapter of ${version} that emits`, () => {
    for (const [name, { emit, rows }] of Object.entries(broken)) {
      describe(`in ${name}`, () => {
        it.each(rows)('%s', async (row) => {
          const { adapter, other, evidence } = make()
          await provesUnsafe(row, { ...adapter, name, emit: emit(other) }, evidence)
        })
      })
    }
  })
}
