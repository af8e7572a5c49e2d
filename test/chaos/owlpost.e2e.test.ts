import { beforeAll, expect, it, vi } from 'vitest'
import { type ChaosBench, type ChaosServers, createChaosBench, readTruth, startChaosServers } from '../support/chaos.ts'
import { reachVerdict } from '../support/chaos-verdict.ts'
import { registerCleanup } from '../support/cleanup.ts'
import { startOwlPostStandIn } from '../support/owlpost-stand-in.ts'

// A slot comes from OwlPost and goes back to it, under load. What stands in for OwlPost leaves the slot where OwlPost does: at
// the start of the last message plus its length, which may lie past a commit that was never read. What the slot has let go of
// so, no relay can have; a copy of the slot, made while OwlPost works, still has it.

vi.setConfig({ testTimeout: 120_000 })

const SLOT_GONE = 10

let servers: ChaosServers
beforeAll(async () => {
  servers = await startChaosServers()
})

function startOwlPost(bench: ChaosBench, slot = bench.slot.name) {
  const { database, prefix } = bench
  const { publication } = bench.slot
  return startOwlPostStandIn({ databaseUrl: database.url, slot, publication, prefix, brokers: servers.kafka.bootstrap })
}

async function withOwlPostAtWork() {
  const bench = await createChaosBench(servers)
  const theirs = `${bench.slot.name}_owlpost`
  await bench.database.query(`CREATE PUBLICATION ${bench.slot.publication}`)
  await bench.database.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [theirs])
  registerCleanup(async () => {
    await bench.database.query('SELECT pg_drop_replication_slot($1)', [theirs])
  })
  const owlpost = await startOwlPost(bench, theirs)
  await owlpost.whenStreaming()
  const load = bench.startLoad()
  await load.whenCommitted(400)
  return { bench, theirs, owlpost, load }
}

it('taken over by a copy of its slot that is made while it works: nothing is lost', async () => {
  const { bench, theirs, owlpost, load } = await withOwlPostAtWork()
  await bench.database.query('SELECT pg_copy_logical_replication_slot($1, $2)', [theirs, bench.slot.name])
  await load.whenCommitted(300)
  await owlpost.stop()
  const overAtMs = Date.now()
  const relay = bench.startRelay()
  await relay.whenStreaming()
  await bench.checker.whenRecovered(overAtMs)
  await load.whenCommitted(300)
  const faults = [{ name: 'hand-over', overAtMs }]
  await reachVerdict(bench, { scenario: 'Taken over from OwlPost, by a copy of its slot', load, faults })
  expect((await relay.stop()).code).toBe(0)
})

it('taken over on its own slot: all that the slot still has arrives', async () => {
  const { bench, theirs, owlpost, load } = await withOwlPostAtWork()
  await owlpost.stop()
  await load.whenCommitted(300)
  // Another slot at the same place, so that what is in it can be looked at; and the relay has one of its own name.
  await bench.database.query('SELECT pg_copy_logical_replication_slot($1, $2)', [theirs, bench.slot.name])
  const held = new Set<string>()
  for (const { prefix, content } of await bench.slot.peek())
    if (prefix === bench.prefix) held.add(content.toString('latin1', 2, 38))
  expect(held.size).toBeGreaterThanOrEqual(300)
  const relay = bench.startRelay()
  await relay.whenStreaming()
  await load.whenCommitted(300)
  await load.stop()
  const truth = await readTruth(bench.database.url)
  await bench.checker.whenDelivered(truth.filter(({ id }) => held.has(id)))
  await bench.whenAllConfirmed()
  await bench.checker.read()
  const result = bench.checker.judge({ truth, optional: load.optional })
  expect(result).toMatchObject({ phantom: 0, reordered: 0, changed: 0 })
  expect(bench.watch.problems).toEqual([])
  // Only what OwlPost has skipped may be missing, and that was committed before it stopped.
  const missing = truth.filter(({ id }) => !bench.checker.has(id))
  expect(missing.filter(({ id }) => held.has(id))).toEqual([])
  expect(missing.length).toBeLessThan(20)
  expect((await relay.stop()).code).toBe(0)
})

it('given back under load: it goes on where we stopped, nothing is lost and nothing comes twice', async () => {
  const bench = await createChaosBench(servers)
  const relay = bench.startRelay()
  await relay.whenStreaming()
  const load = bench.startLoad()
  await load.whenCommitted(600)
  expect((await relay.stop()).code).toBe(0)
  const overAtMs = Date.now()
  const owlpost = await startOwlPost(bench)
  await bench.checker.whenRecovered(overAtMs)
  await load.whenCommitted(300)
  const result = await reachVerdict(bench, {
    scenario: 'Given back to OwlPost',
    load,
    faults: [{ name: 'hand-over', overAtMs }],
    confirmed: false,
  })
  expect(result.duplicates).toBe(0)
  await owlpost.stop()
  // It has moved the slot: for us that is a gap, until the operator says that he knows.
  const again = bench.startRelay()
  expect(await again.whenExited(20_000)).toEqual({ code: SLOT_GONE, signal: null })
  expect(again.output()).toMatch(/somebody else moved it.*--accept-gap/)
  const accepted = bench.startRelay({ ACCEPT_GAP: 'true' })
  await accepted.whenStreaming()
  expect((await accepted.stop()).code).toBe(0)
})
