import { beforeAll, describe, expect, it, vi } from 'vitest'
import { encodeFact } from '../../src/envelope/encode.ts'
import { Fact } from '../../src/fact.ts'
import { type ChaosBench, type ChaosServers, createChaosBench, startChaosServers } from '../support/chaos.ts'
import { reachVerdict } from '../support/chaos-verdict.ts'
import { createTopics, readTopic } from '../support/kafka.ts'
import { commitKey, commitMany } from '../support/load.ts'
import { waitFor } from '../support/wait.ts'

// Facts that are large, many, foreign, or none at all.

const MALFORMED = 13
const MEMORY_BYTES = 300 * 1024 * 1024

// Servers that come back take their time where they share their cores.
vi.setConfig({ testTimeout: 180_000 })

let servers: ChaosServers
beforeAll(async () => {
  servers = await startChaosServers()
})

async function streamingBench(env?: Record<string, string>) {
  const bench = await createChaosBench(servers)
  const relay = bench.startRelay(env)
  await relay.whenStreaming()
  return { bench, relay, writer: { url: bench.database.url, prefix: bench.prefix } }
}

/** By plain SQL, as a client without our checks does. */
async function emitBytes(bench: ChaosBench, content: Uint8Array, prefix = bench.prefix): Promise<void> {
  await bench.database.query('SELECT pg_logical_emit_message(true, $1::text, $2::bytea)', [
    prefix,
    Buffer.from(content),
  ])
}

function oversizeFact(aggregateId: string): Fact {
  return new Fact({ aggregateType: 'order', aggregateId, eventType: 'order.grown', payload: 'x'.repeat(1_200_000) })
}

async function deadLetterTopic(bench: ChaosBench): Promise<string> {
  const topic = `${bench.prefix}-dead`
  await createTopics(servers.kafka.bootstrap, [{ topic }])
  return topic
}

const header = (record: Awaited<ReturnType<typeof readTopic>>[number] | undefined, name: string) =>
  record?.headers.find(([own]) => own === name)?.[1].toString()

describe('large', () => {
  it('a transaction of 100,000 facts among small ones: memory stays under 300 MB', async () => {
    const { bench, relay, writer } = await streamingBench()
    const load = bench.startLoad({ writers: ['tiny', 'savepoints', 'alone'] })
    await commitMany({ ...writer, facts: 100_000, payloadBytes: 50 })
    const result = await reachVerdict(bench, {
      scenario: '100,000-fact transaction',
      load,
      faults: [],
      timeoutMs: 60_000,
    })
    expect(result.duplicates).toBe(0)
    expect(await relay.peakBytes()).toBeLessThan(MEMORY_BYTES)
    expect((await relay.stop()).code).toBe(0)
  })

  it('facts of nearly 1 MB, cut in the middle', async () => {
    const { bench, relay, writer } = await streamingBench()
    bench.proxy.cutAfter(2_500_000, 'toClient')
    await commitMany({ ...writer, facts: 16, payloadBytes: 950_000 })
    const faults = [{ name: 'cut', overAtMs: Date.now() }]
    await reachVerdict(bench, { scenario: '1 MB facts, cut inside one', faults })
    expect(bench.watch.connections).toBe(2)
    expect((await relay.stop()).code).toBe(0)
  })
})

describe('a fact that is larger than the broker takes', () => {
  it('holds its lane, the others go on, /health says so; with a dead-letter topic it goes there', async () => {
    const { bench, relay, writer } = await streamingBench()
    const fact = oversizeFact('k0')
    await emitBytes(bench, encodeFact(fact))
    await commitKey({ ...writer, key: 'k1', facts: 5 })
    await bench.checker.whenCount(5)
    await waitFor(async () => (await relay.health()).status === 503, { what: '/health to be 503' })
    expect((await relay.health()).text).toContain(`${bench.prefix}.order`)
    await relay.kill()
    const topic = await deadLetterTopic(bench)
    const next = bench.startRelay({ DEAD_LETTER_TOPIC: topic })
    await next.whenStreaming()
    await commitKey({ ...writer, key: 'k0', facts: 5 })
    const overAtMs = Date.now()
    const faults = [{ name: 'oversize fact', overAtMs }]
    const deadLetters = new Set([fact.id])
    await reachVerdict(bench, { scenario: 'Oversize fact by plain SQL, then a dead-letter topic', faults, deadLetters })
    const letters = await readTopic(servers.kafka.bootstrap, topic)
    expect(letters.map((letter) => header(letter, 'dead_letter_cause'))).toEqual(letters.map(() => 'too_large'))
    expect(Buffer.concat(letters.map(({ value }) => value as Buffer))).toEqual(Buffer.from(encodeFact(fact)))
    expect((await next.stop()).code).toBe(0)
  })
})

describe('a message that is no fact', () => {
  it('halts the relay before it (exit 13), position kept; with a dead-letter topic all goes on', async () => {
    const { bench, relay, writer } = await streamingBench()
    await commitKey({ ...writer, key: 'k0', facts: 3 })
    await bench.checker.whenCount(3)
    await emitBytes(bench, Buffer.from('not an envelope'))
    await commitKey({ ...writer, key: 'k1', facts: 3 })
    expect(await relay.whenExited(20_000)).toEqual({ code: MALFORMED, signal: null })
    // A restart does not step over it.
    const again = bench.startRelay()
    expect(await again.whenExited(20_000)).toEqual({ code: MALFORMED, signal: null })
    await bench.checker.read()
    expect(bench.checker.deliveredFacts).toBe(3)
    const topic = await deadLetterTopic(bench)
    const overAtMs = Date.now()
    const next = bench.startRelay({ DEAD_LETTER_TOPIC: topic })
    await next.whenStreaming()
    const faults = [{ name: 'malformed', overAtMs }]
    const result = await reachVerdict(bench, { scenario: 'Malformed envelope, then a dead-letter topic', faults })
    expect(result.duplicates).toBe(0)
    const [letter, ...more] = await readTopic(servers.kafka.bootstrap, topic)
    expect(more).toEqual([])
    expect(header(letter, 'dead_letter_cause')).toBe('malformed')
    expect(letter?.value?.toString()).toBe('not an envelope')
    expect((await next.stop()).code).toBe(0)
  })
})

it('facts of a foreign prefix are passed over, and the slot moves past them', async () => {
  const { bench, relay, writer } = await streamingBench()
  const foreign = encodeFact(new Fact({ aggregateType: 'order', aggregateId: '1', eventType: 'order.made' }))
  for (let i = 0; i < 200; i++) await emitBytes(bench, foreign, `${bench.prefix}foreign`)
  await commitKey({ ...writer, key: 'k0', facts: 2 })
  const result = await reachVerdict(bench, { scenario: 'Foreign prefix', faults: [] })
  expect(result.facts).toBe(2)
  expect(await relay.metric('factlib_events_consumed_total')).toBe(2)
  expect((await relay.stop()).code).toBe(0)
})
