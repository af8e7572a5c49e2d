import { describe, expect, it } from 'vitest'
import { type SubscribeOptions, subscribeToSlot } from '../../relay/index.ts'
import type { SubscribedFact } from '../../relay/subscribe.ts'
import { waitFor } from '../support/wait.ts'
import { createBench, emitBytes, type RelayBench } from './relay-bench.ts'

function subscribe(bench: RelayBench, options: Partial<SubscribeOptions> = {}) {
  return subscribeToSlot({
    prefix: bench.prefix,
    databaseUrl: bench.database.url,
    slotName: bench.slot.name,
    publicationName: bench.slot.publication,
    ...options,
  })
}

/** Takes `count` facts, acknowledges those that `ack` names, and leaves the loop. */
async function take(
  bench: RelayBench,
  count: number,
  ack: (fact: SubscribedFact, i: number) => boolean,
): Promise<SubscribedFact[]> {
  const taken: SubscribedFact[] = []
  for await (const received of subscribe(bench)) {
    if (ack(received, taken.length)) received.ack()
    taken.push(received)
    if (taken.length === count) break
  }
  await bench.whenSlotFree()
  return taken
}

const keys = (facts: readonly SubscribedFact[]) => facts.map(({ fact }) => fact.aggregateId)

async function withFacts(...ids: string[]): Promise<RelayBench> {
  const bench = await createBench()
  await bench.createSlot()
  for (const aggregateId of ids) await bench.commit({ aggregateId })
  return bench
}

describe('subscribeToSlot', () => {
  it('gives facts in the order of their commits; what was acknowledged does not come again, what was not does', async () => {
    const bench = await withFacts('a', 'b', 'c', 'd')
    const first = await take(bench, 3, (_, i) => i < 2)
    expect(keys(first)).toEqual(['a', 'b', 'c'])
    const messages = await bench.committed()
    expect(await bench.slot.confirmedFlushLsn()).toBe(messages[1]?.endLsn)
    const second = await take(bench, 2, () => true)
    expect(keys(second)).toEqual(['c', 'd'])
    expect(second[0]?.fact.id).toBe(first[2]?.fact.id)
    expect(second[0]?.value).toEqual(first[2]?.value)
    expect(second[0]).toMatchObject({
      prefix: bench.prefix,
      transactional: true,
      commitTimeMicros: messages[2]?.commitTimeMicros,
    })
    expect(await bench.slot.confirmedFlushLsn()).toBeGreaterThanOrEqual(messages[3]?.endLsn as bigint)
  })

  it('takes acknowledgements in any order, twice, and late; and confirms only what is before the first that waits', async () => {
    const bench = await withFacts('a', 'b', 'c')
    const held: SubscribedFact[] = []
    for await (const received of subscribe(bench)) {
      held.push(received)
      if (held.length === 3) {
        held[2]?.ack()
        held[1]?.ack()
        held[1]?.ack()
        break
      }
    }
    held[0]?.ack()
    await bench.whenSlotFree()
    const messages = await bench.committed()
    expect(await bench.slot.confirmedFlushLsn()).toBeLessThan(messages[0]?.endLsn as bigint)
    expect(keys(await take(bench, 3, (_, i) => i === 0))).toEqual(['a', 'b', 'c'])
    expect(await bench.slot.confirmedFlushLsn()).toBe(messages[0]?.endLsn)
  })

  it('never confirms a part of a transaction', async () => {
    const bench = await createBench()
    await bench.createSlot()
    await bench.commit({ aggregateId: 'a' }, { aggregateId: 'b' }, { aggregateId: 'c' })
    const start = await bench.slot.confirmedFlushLsn()
    await take(bench, 3, (_, i) => i !== 1)
    expect(await bench.slot.confirmedFlushLsn()).toBeLessThanOrEqual((await bench.committed())[0]?.commitLsn as bigint)
    expect(await bench.slot.confirmedFlushLsn()).toBeGreaterThanOrEqual(start)
    expect(keys(await take(bench, 3, () => true))).toEqual(['a', 'b', 'c'])
  })

  it('gives what was not acknowledged again after a lost connection, and never runs out of room because of it', async () => {
    const bench = await withFacts('a', 'b')
    const seen: string[] = []
    let lost = 0
    for await (const received of subscribe(bench, { windowFacts: 3 })) {
      seen.push(received.fact.aggregateId)
      if (seen.length % 2 === 0 && lost < 3) {
        lost++
        await bench.database.query(
          'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1',
          [bench.slot.name],
        )
      } else if (lost === 3) received.ack()
      if (seen.length === 8) break
    }
    expect(seen).toEqual(['a', 'b', 'a', 'b', 'a', 'b', 'a', 'b'])
  })

  it('ends by its signal, without an error, also while it waits', async () => {
    const bench = await withFacts('a')
    const abort = new AbortController()
    const seen: string[] = []
    for await (const received of subscribe(bench, { signal: abort.signal })) {
      seen.push(received.fact.aggregateId)
      received.ack()
      setImmediate(() => abort.abort())
    }
    expect(seen).toEqual(['a'])
    for await (const _ of subscribe(bench, { signal: AbortSignal.abort() })) expect.unreachable()
    await bench.whenSlotFree()
    expect(await bench.slot.confirmedFlushLsn()).toBeGreaterThanOrEqual((await bench.committed())[0]?.endLsn as bigint)
  })

  it('waits for facts that are not there yet', async () => {
    const bench = await withFacts()
    const loop = subscribe(bench)
    const next = loop.next()
    await waitFor(() => bench.slot.activePid(), { what: 'the loop to read' })
    await bench.commit({ aggregateId: 'later' })
    const { value } = await next
    expect((value as SubscribedFact).fact.aggregateId).toBe('later')
    await loop.return()
  })

  it('throws the halt when a fact cannot be read, after it gave what was before', async () => {
    const bench = await withFacts('a')
    await emitBytes(bench.database.pool, bench.prefix, Buffer.from('not a fact'))
    await bench.commit({ aggregateId: 'after' })
    const seen: string[] = []
    const loop = (async () => {
      for await (const received of subscribe(bench)) {
        seen.push(received.fact.aggregateId)
        received.ack()
      }
    })()
    await expect(loop).rejects.toMatchObject({ code: 'FACTLIB_MALFORMED_FACT', exitCode: 13 })
    expect(seen).toEqual(['a'])
    await bench.whenSlotFree()
    const [before, malformed] = await bench.committed()
    expect(await bench.slot.confirmedFlushLsn()).toBeGreaterThanOrEqual(before?.endLsn as bigint)
    expect(await bench.slot.confirmedFlushLsn()).toBeLessThan(malformed?.endLsn as bigint)
  })
})
