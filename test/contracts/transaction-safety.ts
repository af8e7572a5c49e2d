/**
 * The transaction contract, for every adapter: a fact lives and dies with the rows of its transaction.
 *
 *   AdapterUnderTest     what an ORM's test supplies: how to open a transaction, write a row, emit
 *   SafetyEvidence       what the database itself says: the row's transaction id, the slot's messages (safety-evidence.ts)
 *   transactionSafety    the rows of the contract: plain functions that throw on a violation (safety-rows.ts)
 *   describeTransactionSafety   runs every row on an adapter, one test each, and records their outcomes
 *   provesUnsafe         runs one row on a deliberately broken adapter, and throws unless the row caught it
 *
 * The proof is never a mock: a fact counts as emitted only when the slot hands it out, and as safe only when its
 * transaction id is the one that the row's own column `DEFAULT pg_current_xact_id()` holds.
 */
import { strict as assert } from 'node:assert'
import { describe, it } from 'vitest'
import type { Fact, FactInput } from '../../src/fact.ts'
import { recordSafety, type SafetyColumn, type SafetyOutcome } from './safety-results.ts'
import { transactionSafety } from './safety-rows.ts'

export { transactionSafety }

/** A message of the slot, as far as the contract looks at it. */
export interface SlotMessage {
  /** Top-level transaction id, 32 bits, as pgoutput's Begin has it. */
  readonly xid: number
  readonly prefix: string
  readonly content: Uint8Array
}

/** What the database says happened. */
export interface SafetyEvidence {
  /** `customers.xact_id` of the row with this id (64 bits: epoch and transaction id), or undefined when there is none. */
  rowTransaction(id: string): Promise<bigint | undefined>
  /** Every message committed since the last call, in the order of the slot. */
  messages(): Promise<readonly SlotMessage[]>
}

/** One fact, or several in one call. */
export type Emission = Fact | FactInput | readonly (Fact | FactInput)[]

/** What an ORM's test supplies; `Tx` is whatever that adapter takes as "the transaction". */
export interface AdapterUnderTest<Tx> {
  readonly name: string
  /** Runs `body` in one transaction: commits when it resolves; rolls back, and throws its error on, when it throws. */
  transaction(body: (tx: Tx) => Promise<void>): Promise<void>
  /** Runs `body` in a savepoint of `tx`: released when it resolves; rolled back to, and the error thrown on, when it throws. */
  savepoint(tx: Tx, body: (tx: Tx) => Promise<void>): Promise<void>
  /** Inserts one row into `customers` with this id, through the ORM, in `tx`. */
  insertRow(tx: Tx, id: string): Promise<void>
  /** Sends a statement that PostgreSQL refuses (`SELECT 1 / 0`), so that the transaction is aborted; throws the error. */
  failStatement(tx: Tx): Promise<void>
  /** Sends a statement in `tx` (of the rows that need one). */
  statement?(tx: Tx, text: string): Promise<void>
  /** As `transaction`, on another client with connections of its own to the same database. */
  otherPoolTransaction?(body: (tx: Tx) => Promise<void>): Promise<void>
  /** The function under test; resolves to the id, or to the ids in order for an array. */
  emit(tx: Tx, emission: Emission): Promise<string | readonly string[]>
  /** Emits with what a careless user has at hand outside a transaction: the base client, the pool. */
  emitOutside(emission: Emission): Promise<unknown>
}

// biome-ignore lint/suspicious/noConfusingVoidType: most rows give nothing back.
type Kept = SafetyOutcome | void

/** A row of the contract: throws when `adapter` breaks it; says how it was kept, `proved` unless it says otherwise. */
export type SafetyRow = <Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence) => Promise<Kept>

export type SafetyRowName = keyof typeof transactionSafety

const NEEDS_MORE: readonly SafetyRowName[] = [
  'a read-only transaction may emit',
  "a fact emitted in another pool's transaction goes with that one",
]

/**
 * Runs every row on the adapter that `make` returns, and records their outcomes for docs/transaction-safety.md when it is
 * told which `column` they are; call it inside the file's own `describe`, after `beforeAll`
 * has been declared (`make` is called when a test runs, not before).
 */
export function describeTransactionSafety<Tx>(
  name: string,
  make: () => { readonly adapter: AdapterUnderTest<Tx>; readonly evidence: SafetyEvidence },
  column?: SafetyColumn,
): void {
  describe(`transaction safety: ${name}`, () => {
    const record = column && recordSafety(column)
    for (const [title, row] of Object.entries(transactionSafety) as [SafetyRowName, SafetyRow][]) {
      // The newer rows need more of the adapter's test, which then also says its column.
      if (column === undefined && NEEDS_MORE.includes(title)) continue
      it(title, async () => {
        const { adapter, evidence } = make()
        if (column?.unseen?.[title] === undefined) {
          record?.(title, (await row(adapter, evidence)) ?? 'proved')
        } else {
          // Known and documented: the day it holds, this test asks for the entry to go.
          await provesUnsafe(title, adapter, evidence)
          record?.(title, 'unseen')
        }
      })
    }
  })
}

/**
 * Runs one row on a deliberately broken adapter; throws unless the row's own assertions catch it (an error of the
 * driver, say a typing mistake in the broken adapter, proves nothing).
 */
export async function provesUnsafe<Tx>(
  row: SafetyRowName,
  broken: AdapterUnderTest<Tx>,
  evidence: SafetyEvidence,
): Promise<void> {
  const caught = await transactionSafety[row](broken, evidence).then(
    () => undefined,
    (error: unknown) => error ?? 'an error without a value',
  )
  // What the broken adapter left behind must not disturb the next row.
  await evidence.messages()
  if (caught === undefined) assert.fail(`"${row}" did not notice that ${broken.name} is broken`)
  if (!(caught instanceof assert.AssertionError)) throw caught
}
