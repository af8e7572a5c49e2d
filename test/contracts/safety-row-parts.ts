/** What the rows of the transaction contract are written with. */
import { strict as assert } from 'node:assert'
import { decodeFact } from '../../src/envelope/decode.ts'
import type { Fact, FactInput } from '../../src/fact.ts'
import type { SafetyEvidence } from './transaction-safety.ts'

let lastRow = 0

/** Ids are never used twice, also not by two test files on one database. */
export function newId(): string {
  lastRow += 1
  return `c-${process.pid}-${Date.now()}-${lastRow}`
}

export function factOf(id: string, eventType = 'customer.created'): FactInput {
  return { aggregateType: 'customer', aggregateId: id, eventType, payload: { id } }
}

/** What a body throws on purpose, told from every other error by identity. */
export class Deliberate extends Error {}

export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  return undefined
}

export async function fails(promise: Promise<unknown>, what: string): Promise<unknown> {
  const error = await rejection(promise)
  assert.ok(error !== undefined, `${what}: an error was expected`)
  return error
}

/** The facts of the slot whose aggregate id is one of `ids`: other messages of the same database do not disturb a row. */
export async function factsOf(
  evidence: SafetyEvidence,
  ids: readonly string[],
): Promise<{ xid: number; fact: Fact }[]> {
  const facts: { xid: number; fact: Fact }[] = []
  for (const message of await evidence.messages()) {
    const fact = decodeFact(message.content, { prefix: message.prefix })
    if (ids.includes(fact.aggregateId)) facts.push({ xid: message.xid, fact })
  }
  return facts
}

/** The row is there, each fact is there once in this order, all with the row's transaction id. */
export async function together(
  evidence: SafetyEvidence,
  rowIds: readonly string[],
  factIds: readonly string[],
  emitted: readonly string[],
): Promise<void> {
  const transactions = await Promise.all(rowIds.map((id) => evidence.rowTransaction(id)))
  assert.ok(
    transactions.every((xid) => xid !== undefined),
    'a committed row is missing',
  )
  const [first] = transactions as bigint[]
  assert.ok(first !== undefined && transactions.every((xid) => xid === first), 'the rows are of several transactions')
  const facts = await factsOf(evidence, [...rowIds, ...factIds])
  assert.deepEqual(
    facts.map(({ fact }) => fact.id),
    [...emitted],
    'the slot does not hold exactly the emitted facts, in order',
  )
  for (const { xid } of facts)
    assert.equal(BigInt(xid), BigInt.asUintN(32, first), "a fact is not of its row's transaction")
}

/** Neither row nor fact. */
export async function neither(evidence: SafetyEvidence, ids: readonly string[]): Promise<void> {
  for (const id of ids) assert.equal(await evidence.rowTransaction(id), undefined, 'a row outlived its rollback')
  assert.deepEqual(await factsOf(evidence, ids), [], 'a fact outlived its rollback')
}

export async function one(promise: Promise<string | readonly string[]>): Promise<string> {
  const id = await promise
  assert.ok(typeof id === 'string', 'one fact resolves to its id')
  return id
}
