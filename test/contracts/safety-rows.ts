/**
 * The rows of the transaction contract (transaction-safety.ts says what they are run on): plain functions, which throw
 * when the adapter breaks the row.
 */
import { strict as assert } from 'node:assert'
import { decodeFact } from '../../src/envelope/decode.ts'
import { encodeFact } from '../../src/envelope/encode.ts'
import { isFactlibError, NotInTransactionError } from '../../src/errors.ts'
import { Fact, type FactInput } from '../../src/fact.ts'
import type { SafetyOutcome } from './safety-results.ts'
import { Deliberate, factOf, factsOf, fails, neither, newId, one, rejection, together } from './safety-row-parts.ts'
import { anotherPool, readOnly } from './safety-rows-elsewhere.ts'
import type { AdapterUnderTest, SafetyEvidence, SafetyRow } from './transaction-safety.ts'

async function committed<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<void> {
  const id = newId()
  const emitted: string[] = []
  await adapter.transaction(async (tx) => {
    await adapter.insertRow(tx, id)
    emitted.push(await one(adapter.emit(tx, factOf(id))))
  })
  await together(evidence, [id], [], emitted)
}

async function factBeforeRow<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<void> {
  const id = newId()
  const emitted: string[] = []
  await adapter.transaction(async (tx) => {
    emitted.push(await one(adapter.emit(tx, factOf(id))))
    await adapter.insertRow(tx, id)
  })
  await together(evidence, [id], [], emitted)
}

async function thrown<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<void> {
  const id = newId()
  const error = new Deliberate('roll back')
  const seen = await rejection(
    adapter.transaction(async (tx) => {
      await adapter.insertRow(tx, id)
      await adapter.emit(tx, factOf(id))
      throw error
    }),
  )
  assert.equal(seen, error, 'the error of the body is the one that the caller sees')
  await neither(evidence, [id])
}

async function caughtAndRethrown<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<void> {
  const id = newId()
  await fails(
    adapter.transaction(async (tx) => {
      await adapter.insertRow(tx, id)
      await adapter.emit(tx, factOf(id))
      try {
        await adapter.failStatement(tx)
      } catch (error) {
        throw new Deliberate('rethrown', { cause: error })
      }
    }),
    'a rethrown error',
  )
  await neither(evidence, [id])
}

async function savepointRolledBack<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<void> {
  const [kept, lost] = [newId(), newId()]
  const emitted: string[] = []
  await adapter.transaction(async (tx) => {
    await adapter.insertRow(tx, kept)
    emitted.push(await one(adapter.emit(tx, factOf(kept))))
    const error = await rejection(
      adapter.savepoint(tx, async (inner) => {
        await adapter.insertRow(inner, lost)
        await adapter.emit(inner, factOf(lost))
        throw new Deliberate('roll back to the savepoint')
      }),
    )
    assert.ok(error instanceof Deliberate, 'the error of the savepoint is the one that the caller sees')
    emitted.push(await one(adapter.emit(tx, factOf(kept, 'customer.updated'))))
  })
  assert.equal(await evidence.rowTransaction(lost), undefined, 'a row outlived its savepoint')
  await together(evidence, [kept], [lost], emitted)
}

async function savepointKept<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<void> {
  const [outer, inner] = [newId(), newId()]
  const emitted: string[] = []
  await adapter.transaction(async (tx) => {
    await adapter.insertRow(tx, outer)
    await adapter.savepoint(tx, async (nested) => {
      await adapter.insertRow(nested, inner)
      emitted.push(await one(adapter.emit(nested, factOf(inner))))
    })
    emitted.push(await one(adapter.emit(tx, factOf(outer))))
  })
  await together(evidence, [outer, inner], [], emitted)
}

async function savepointKeptTransactionRolledBack<Tx>(
  adapter: AdapterUnderTest<Tx>,
  evidence: SafetyEvidence,
): Promise<void> {
  const [outer, inner] = [newId(), newId()]
  await fails(
    adapter.transaction(async (tx) => {
      await adapter.insertRow(tx, outer)
      await adapter.savepoint(tx, async (nested) => {
        await adapter.insertRow(nested, inner)
        await adapter.emit(nested, factOf(inner))
      })
      throw new Deliberate('roll back')
    }),
    'a rolled back transaction',
  )
  await neither(evidence, [outer, inner])
}

async function manyAtOnce<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<void> {
  const id = newId()
  const many = Array.from({ length: 25 }, (_, index) => new Fact(factOf(id, `customer.step-${index}`)))
  let emitted: string | readonly string[] = []
  await adapter.transaction(async (tx) => {
    await adapter.insertRow(tx, id)
    emitted = await adapter.emit(tx, many)
    assert.deepEqual(await adapter.emit(tx, []), [], 'no facts resolve to no ids')
  })
  assert.deepEqual(
    emitted,
    many.map((fact) => fact.id),
    'many facts resolve to their ids, in order',
  )
  await together(evidence, [id], [], emitted)
}

async function outside<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<SafetyOutcome> {
  const id = newId()
  const error = await fails(adapter.emitOutside(factOf(id)), 'emitting outside a transaction')
  assert.ok(error instanceof NotInTransactionError, 'outside a transaction it is a NotInTransactionError')
  const many = await fails(adapter.emitOutside([factOf(id), factOf(id)]), 'emitting outside a transaction')
  assert.ok(many instanceof NotInTransactionError, 'outside a transaction it is a NotInTransactionError, for many too')
  await neither(evidence, [id])
  return 'refused'
}

async function afterCommit<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<SafetyOutcome> {
  const id = newId()
  const emitted: string[] = []
  let stale: Tx | undefined
  await adapter.transaction(async (tx) => {
    stale = tx
    await adapter.insertRow(tx, id)
    emitted.push(await one(adapter.emit(tx, factOf(id))))
  })
  const error = await fails(
    adapter.emit(stale as Tx, factOf(id, 'customer.late')),
    'emitting on a committed transaction',
  )
  assert.ok(isFactlibError(error), 'a committed transaction is refused with an error of factlib')
  await together(evidence, [id], [], emitted)
  return 'refused'
}

async function afterRollback<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<SafetyOutcome> {
  const id = newId()
  let stale: Tx | undefined
  await fails(
    adapter.transaction(async (tx) => {
      stale = tx
      throw new Deliberate('roll back')
    }),
    'a rolled back transaction',
  )
  const error = await fails(adapter.emit(stale as Tx, factOf(id)), 'emitting on a rolled back transaction')
  assert.ok(isFactlibError(error), 'a rolled back transaction is refused with an error of factlib')
  await neither(evidence, [id])
  return 'refused'
}

async function aborted<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<SafetyOutcome> {
  const id = newId()
  let refused: unknown
  // The body swallows both errors: whether the ORM then rejects or resolves is its own affair, PostgreSQL rolls back.
  await rejection(
    adapter.transaction(async (tx) => {
      await adapter.insertRow(tx, id)
      await rejection(adapter.failStatement(tx))
      refused = await rejection(adapter.emit(tx, factOf(id)))
    }),
  )
  assert.ok(isFactlibError(refused, 'FACTLIB_EMIT_FAILED'), 'an aborted transaction takes no fact, and says so')
  await neither(evidence, [id])
  return 'refused'
}

async function parallelInOne<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<void> {
  const ids = Array.from({ length: 8 }, newId)
  let emitted: string[] = []
  await adapter.transaction(async (tx) => {
    const [facts] = await Promise.all([
      Promise.all(ids.map((id) => one(adapter.emit(tx, factOf(id))))),
      Promise.all(ids.map((id) => adapter.insertRow(tx, id))),
    ])
    emitted = facts
  })
  await together(evidence, ids, [], emitted)
}

async function parallelTransactions<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<void> {
  const ids = Array.from({ length: 6 }, newId)
  const outcomes = await Promise.allSettled(
    ids.map((id, index) =>
      adapter.transaction(async (tx) => {
        await adapter.insertRow(tx, id)
        await adapter.emit(tx, factOf(id))
        if (index % 2 === 1) throw new Deliberate('roll back')
      }),
    ),
  )
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ids.map((_, index) => (index % 2 === 1 ? 'rejected' : 'fulfilled')),
  )
  const facts = await factsOf(evidence, ids)
  assert.equal(facts.length, ids.length / 2, 'the slot does not hold exactly the committed facts')
  for (const [index, id] of ids.entries()) {
    const row = await evidence.rowTransaction(id)
    const found = facts.filter(({ fact }) => fact.aggregateId === id)
    if (index % 2 === 1) {
      assert.ok(row === undefined && found.length === 0, 'a rolled back transaction left something')
    } else {
      assert.ok(
        row !== undefined && BigInt(found[0]?.xid ?? -1) === BigInt.asUintN(32, row),
        "a fact is not of its row's transaction",
      )
    }
  }
}

async function retriedWithSameFact<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<void> {
  const id = newId()
  const fact = new Fact(factOf(id))
  let attempts = 0
  const attempt = () =>
    adapter.transaction(async (tx) => {
      attempts += 1
      await adapter.insertRow(tx, id)
      assert.equal(await adapter.emit(tx, fact), fact.id)
      if (attempts === 1) throw new Deliberate('the first attempt')
    })
  await fails(attempt(), 'the first attempt')
  await attempt()
  const row = await evidence.rowTransaction(id)
  const messages = (await evidence.messages()).filter(({ content }) => decodeFact(content).aggregateId === id)
  assert.equal(messages.length, 1, 'the retried fact comes once')
  assert.deepEqual(
    Buffer.from(messages[0]!.content),
    Buffer.from(encodeFact(fact)),
    'the retried fact has the same bytes',
  )
  assert.equal(BigInt(messages[0]!.xid), BigInt.asUintN(32, row ?? -1n), "the retried fact is of its row's transaction")
}

async function payloadsSurvive<Tx>(adapter: AdapterUnderTest<Tx>, evidence: SafetyEvidence): Promise<void> {
  const payloads: readonly FactInput['payload'][] = [
    null,
    undefined,
    '',
    "it's $1, ? and :name; \\x00 — żółć 🦀 \u0000",
    { text: 'żółć 🦀', nested: [null, true, 1.5, 'x'] },
    Uint8Array.from({ length: 256 }, (_, index) => index),
    Buffer.alloc(990_000, 'factlib'),
  ]
  const ids = payloads.map(newId)
  const facts = payloads.map(
    (payload, index) => new Fact({ ...factOf(ids[index]!), payload, metadata: { note: 'żółć \'"$1' } }),
  )
  await adapter.transaction(async (tx) => {
    for (const [index, fact] of facts.entries()) {
      await adapter.insertRow(tx, ids[index]!)
      await adapter.emit(tx, fact)
    }
  })
  const messages = (await evidence.messages()).filter(({ content }) => ids.includes(decodeFact(content).aggregateId))
  assert.equal(messages.length, facts.length, 'each payload comes once')
  for (const [index, fact] of facts.entries()) {
    assert.ok(
      Buffer.from(messages[index]!.content).equals(encodeFact(fact)),
      `payload ${index} is not what was emitted`,
    )
  }
}

/** The rows of the contract by the name of their test. */
export const transactionSafety = {
  'a committed fact has the transaction id of its row': committed,
  'a fact may be emitted before its row': factBeforeRow,
  'a thrown error leaves neither row nor fact': thrown,
  'a caught and rethrown database error leaves neither row nor fact': caughtAndRethrown,
  'a rolled back savepoint leaves neither row nor fact, and the rest is kept': savepointRolledBack,
  'a released savepoint keeps row and fact': savepointKept,
  'a released savepoint of a rolled back transaction leaves neither': savepointKeptTransactionRolledBack,
  'many facts in one call come in order, with their ids': manyAtOnce,
  'outside a transaction it is refused, and nothing is written': outside,
  'a committed transaction takes no more facts': afterCommit,
  'a rolled back transaction takes no more facts': afterRollback,
  'an aborted transaction takes no fact': aborted,
  'a read-only transaction may emit': readOnly,
  "a fact emitted in another pool's transaction goes with that one": anotherPool,
  'parallel calls inside one transaction stay in it, in order': parallelInOne,
  'parallel transactions keep their own facts': parallelTransactions,
  'a retried transaction emits the same bytes': retriedWithSameFact,
  'every payload arrives as it was emitted': payloadsSurvive,
} as const satisfies Record<string, SafetyRow>
