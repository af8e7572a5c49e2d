/** Rows of the transaction contract in transactions of another kind, or of another pool. */
import { strict as assert } from 'node:assert'
import { isFactlibError } from '../../src/errors.ts'
import type { SafetyOutcome } from './safety-results.ts'
import { Deliberate, factOf, factsOf, newId, one, rejection } from './safety-row-parts.ts'
import type { AdapterUnderTest, SafetyEvidence } from './transaction-safety.ts'

export async function readOnly<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<void> {
  const id = newId()
  let emitted = ''
  await adapter.transaction(async (tx) => {
    await required(adapter, 'statement')(tx, 'SET TRANSACTION READ ONLY')
    emitted = await one(adapter.emit(tx, factOf(id)))
  })
  const facts = await factsOf(evidence, [id])
  assert.deepEqual(
    facts.map(({ fact }) => fact.id),
    [emitted],
    'a read-only transaction may emit: PostgreSQL allows it',
  )
}

export async function anotherPool<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<SafetyOutcome> {
  const id = newId()
  let refused: unknown
  await adapter.transaction(async (tx) => {
    await adapter.insertRow(tx, id)
    const other = await rejection(
      required(
        adapter,
        'otherPoolTransaction',
      )(async (otherTx) => {
        refused = await rejection(Promise.resolve(adapter.emit(otherTx, factOf(id))))
        throw new Deliberate('roll back')
      }),
    )
    assert.ok(other instanceof Deliberate, 'the error of the other transaction is the one that the caller sees')
  })
  assert.ok(
    refused === undefined || isFactlibError(refused),
    'it is emitted there, or refused with an error of factlib',
  )
  assert.deepEqual(await factsOf(evidence, [id]), [], 'a fact outlived the transaction that it was emitted in')
  assert.ok((await evidence.rowTransaction(id)) !== undefined, 'the row of the other transaction is gone')
  return refused === undefined ? 'proved' : 'refused'
}

/** A method that the newer rows need; a missing one fails the row, and so leaves no empty cell unnoticed. */
function required<Tx, Name extends 'statement' | 'otherPoolTransaction'>(
  adapter: AdapterUnderTest<Tx>,
  name: Name,
): NonNullable<AdapterUnderTest<Tx>[Name]> {
  const method = adapter[name]
  assert.ok(method !== undefined, `${adapter.name} does not say how to run this row: give its test ${name}()`)
  return method
}
