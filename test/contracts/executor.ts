/**
 * The contract of the port `SqlExecutor`, for anybody's adapter: the rows of the transaction contract, through `emitWith`.
 *
 * @example
 * describeSqlExecutor('kysely', () => ({ library, evidence }))
 */
import { strict as assert } from 'node:assert'
import { describe, it } from 'vitest'
import { emitWith } from '../../src/emitter.ts'
import type { SqlExecutor } from '../../src/executor.ts'
import { Fact } from '../../src/fact.ts'
import type { Statement } from '../../src/statements.ts'
import type { SafetyColumn } from './safety-results.ts'
import { factOf, newId } from './safety-row-parts.ts'
import {
  type AdapterUnderTest,
  describeTransactionSafety,
  type Emission,
  type SafetyEvidence,
} from './transaction-safety.ts'

/** A library, and the executor for its transactions. */
export interface LibraryUnderTest<Tx> extends Omit<AdapterUnderTest<Tx>, 'emit' | 'emitOutside'> {
  /** The executor for this transaction. */
  executor(tx: Tx): SqlExecutor
  /** The executor for what a careless user has at hand outside a transaction; it may throw `NotInTransactionError` itself. */
  executorOutside(): SqlExecutor
}

const OPTIONS = { prefix: 'shop', maxFactBytes: 2_000_000 }

/** The adapter that this executor makes. */
export function adapterOf<Tx>(library: LibraryUnderTest<Tx>): AdapterUnderTest<Tx> {
  return {
    ...library,
    emit: (tx, emission) => emitWith(library.executor(tx), emission as Emission & object, OPTIONS),
    emitOutside: async (emission) => emitWith(library.executorOutside(), emission as Emission & object, OPTIONS),
  }
}

/** Runs the contract; `make` is called when a test runs, not before. */
export function describeSqlExecutor<Tx>(
  name: string,
  make: () => { readonly library: LibraryUnderTest<Tx>; readonly evidence: SafetyEvidence },
  column?: SafetyColumn,
): void {
  describeTransactionSafety(
    name,
    () => {
      const { library, evidence } = make()
      return { adapter: adapterOf(library), evidence }
    },
    column,
  )

  describe(`executor: ${name}`, () => {
    it('rejects with the driver’s own error, which has the SQLSTATE', async () => {
      const { library } = make()
      const failing: Statement = { strings: ['SELECT 1 / 0 AS lsn'], values: [], text: 'SELECT 1 / 0 AS lsn' }
      let state: unknown
      await library
        .transaction(async (tx) => {
          await library.insertRow(tx, newId())
          await library
            .executor(tx)
            .execute(failing)
            .catch((error: unknown) => {
              for (let current = error; typeof current === 'object' && current !== null; ) {
                const { code, cause } = current as { code?: unknown; cause?: unknown }
                state ??= code
                current = cause
              }
            })
          throw new Error('roll back')
        })
        .catch(() => {})
      assert.equal(state, '22012')
    })

    it('keeps the order of calls that do not wait for each other, also before the first row', async () => {
      const { library, evidence } = make()
      const facts = Array.from({ length: 6 }, (_, index) => new Fact(factOf(newId(), `customer.step-${index}`)))
      await library.transaction(async (tx) => {
        await Promise.all(facts.map((fact) => emitWith(library.executor(tx), fact, OPTIONS)))
      })
      const contents = (await evidence.messages()).map(({ content }) => Buffer.from(content))
      const places = facts.map(({ id }) => contents.findIndex((content) => content.includes(id)))
      assert.deepEqual(
        places,
        [...places].sort((a, b) => a - b),
      )
      assert.ok(!places.includes(-1), 'a fact is missing')
    })
  })
}
