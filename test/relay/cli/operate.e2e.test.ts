import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { listDeadLetters, showDeadLetter } from '../../../relay/cli/dead-letters.ts'
import { discard, requeue } from '../../../relay/cli/requeue.ts'
import { setup } from '../../../relay/cli/setup.ts'
import { status } from '../../../relay/cli/status.ts'
import { type TailOptions, tail } from '../../../relay/cli/tail.ts'
import { parseRelayOptions } from '../../../relay/config/settings.ts'
import type { RelayOptions } from '../../../relay/index.ts'
import { createTopics, readTopic } from '../../support/kafka.ts'
import { waitFor } from '../../support/wait.ts'
import { optionsOf } from '../doctor/broken-setup.ts'
import { createBench, emitBytes, header, type RelayBench } from '../relay-bench.ts'
import { captureTerminal } from './captured-terminal.ts'

// `status`, `tail` and `dead-letters` beside a real relay, PostgreSQL and Kafka.

function configurationOf(bench: RelayBench, options: Partial<RelayOptions> = {}) {
  return { settings: parseRelayOptions(optionsOf(bench, options), { env: {} }), routes: [], secrets: [] }
}

async function prepared(options: Partial<RelayOptions> = {}): Promise<RelayBench> {
  const bench = await createBench()
  await setup(configurationOf(bench, options).settings, {}, captureTerminal())
  await bench.topics({ topic: 'order', partitions: 2 }, { topic: 'user' })
  return bench
}

async function tailed(bench: RelayBench, options: TailOptions): Promise<Record<string, unknown>[]> {
  const terminal = captureTerminal()
  expect(await tail(configurationOf(bench), { json: true, ...options }, terminal)).toBe(0)
  return terminal.jsonLines()
}

describe('tail', () => {
  it('shows what waits in the slot, and leaves it there', async () => {
    const bench = await prepared()
    await bench.commit(
      { aggregateId: 'o-1', eventType: 'order.created', payload: { total: 3 } },
      { aggregateType: 'user', aggregateId: 'u-1', eventType: 'user.created' },
    )
    await bench.commit({ aggregateId: 'o-2', eventType: 'order.created' })
    const before = await bench.slot.confirmedFlushLsn()
    const facts = await tailed(bench, { fromSlot: true })
    expect(facts.map(({ aggregateId }) => aggregateId)).toEqual(['o-1', 'u-1', 'o-2'])
    expect(facts[0]).toMatchObject({ topic: `${bench.prefix}.order`, eventType: 'order.created', isFact: true })
    expect(facts[0]).not.toHaveProperty('payload')
    expect(await tailed(bench, { fromSlot: true, aggregateType: 'user' })).toHaveLength(1)
    expect((await tailed(bench, { fromSlot: true, aggregateId: 'o-1', payload: true }))[0]).toMatchObject({
      payload: { total: 3 },
    })
    expect(await tailed(bench, { fromSlot: true, limit: 1 })).toMatchObject([{ aggregateId: 'o-1' }])
    expect(await bench.slot.confirmedFlushLsn()).toBe(before)
    expect(await bench.slot.peek()).toHaveLength(3)
  })

  it('shows the latest of Kafka, filtered, and goes on with what comes; it commits nothing', async () => {
    const bench = await prepared()
    const relay = bench.relay()
    await relay.start()
    for (let id = 1; id <= 23; id++) await bench.commit({ aggregateId: `o-${id}`, payload: { id } })
    // One after another: partitions are written at the same time, and the latest is whatever was sent last.
    for (const fact of [
      { aggregateId: 'o-24', payload: { id: 24 } },
      { aggregateId: 'o-25', payload: { id: 25 } },
      { aggregateType: 'user', aggregateId: 'u-1', eventType: 'user.created' },
    ]) {
      await bench.whenAllConfirmed(relay)
      await bench.commit(fact)
    }
    await bench.whenAllConfirmed(relay)
    expect(await tailed(bench, { limit: 3 })).toMatchObject([
      { aggregateId: 'o-24' },
      { aggregateId: 'o-25' },
      { aggregateId: 'u-1', topic: `${bench.prefix}.user` },
    ])
    expect(await tailed(bench, { limit: 3, aggregateId: 'o-2' })).toMatchObject([{ aggregateId: 'o-2' }])
    expect(await tailed(bench, { eventType: 'user.created' })).toHaveLength(1)
    expect(await tailed(bench, { topics: [`${bench.prefix}.user`] })).toHaveLength(1)

    const abort = new AbortController()
    const terminal = captureTerminal(undefined, (text) => text.includes('followed') && abort.abort())
    const following = tail(
      configurationOf(bench),
      { follow: true, limit: 1, payload: true, signal: abort.signal },
      terminal,
    )
    await waitFor(() => terminal.output.includes('u-1'), { what: 'the latest fact to be shown' })
    await bench.commit({ aggregateId: 'followed', payload: { deep: [1] } })
    expect(await following).toBe(0)
    expect(terminal.output).toContain('order followed')

    const refused = tail(configurationOf(bench), { fromSlot: true }, captureTerminal())
    await expect(refused).rejects.toThrow(/a relay reads from slot .* now/)
    await relay.stop()
  })

  it('does not say that nothing is there when it has not looked at everything', async () => {
    const bench = await prepared()
    await bench.database.query(
      "SELECT count(pg_logical_emit_message(true, 'foreign', 'x')) FROM generate_series(1, 50010)",
    )
    await bench.commit({ aggregateId: 'o-1' })
    const terminal = captureTerminal()
    await tail(configurationOf(bench), { fromSlot: true }, terminal)
    expect(terminal.notes).toBe('Nothing that matches among the first 50000 changes in the slot, and it holds more.\n')
  })

  it('shows control characters of others as escapes', async () => {
    const bench = await prepared()
    await bench.commit({ aggregateId: 'o-\u001b[31mred' })
    const terminal = captureTerminal()
    await tail(configurationOf(bench), { fromSlot: true }, terminal)
    expect(terminal.output).toContain('o-\\u001b[31mred')
    expect(terminal.output).not.toContain('\u001b')
  })
})

describe('status', () => {
  it('tells the holder of the slot, lag, the last fact of each topic and dead letters by cause', async () => {
    const bench = await createBench()
    const options = { deadLetterTopic: `${bench.prefix}_dead` }
    await setup(configurationOf(bench).settings, {}, captureTerminal())
    await createTopics(bench.brokers, [{ topic: options.deadLetterTopic }])
    await bench.topics({ topic: 'order' })
    await bench.commit({ aggregateId: 'o-1', eventType: 'order.created' })
    const waiting = captureTerminal()
    expect(await status(configurationOf(bench, options), { json: true, intervalMs: 10 }, waiting)).toBe(0)
    expect(waiting.json()).toMatchObject({ slot: { exists: true, holder: null }, deadLetters: {} })
    const { slot } = waiting.json<{ slot: { confirmedLagBytes: number; lagSeconds: number } }>()
    expect(slot.confirmedLagBytes).toBeGreaterThan(0)
    expect(slot.lagSeconds).toBeGreaterThanOrEqual(0)

    const relay = bench.relay(options)
    await relay.start()
    await emitBytes(bench.database.pool, bench.prefix, Buffer.from('no envelope'))
    await bench.whenAllConfirmed(relay)
    const terminal = captureTerminal()
    expect(await status(configurationOf(bench, options), { json: true, intervalMs: 10 }, terminal)).toBe(0)
    expect(terminal.json()).toMatchObject({
      slot: {
        exists: true,
        lagSeconds: expect.toSatisfy((value) => value === null || value >= 0),
        holder: { applicationName: 'factlib-relay' },
      },
      topics: [
        {
          topic: `${bench.prefix}.order`,
          records: '1',
          last: { eventType: 'order.created', key: 'o-1', partition: 0, offset: '0' },
        },
      ],
      deadLetters: { malformed: 1 },
      slotFailure: null,
      kafkaFailure: null,
    })
    const words = captureTerminal()
    await status(configurationOf(bench, options), { intervalMs: 10 }, words)
    expect(words.output).toMatch(/held by +pid \d+, factlib-relay at 127\.0\.0\.1, since 20/)
    expect(words.output).toContain('dead letters: 1 malformed')
    await relay.stop()
  })

  it('says which side cannot be looked at, and still tells the other', async () => {
    const bench = await createBench()
    const terminal = captureTerminal()
    const broken = { kafkaBrokers: '127.0.0.1:1' }
    expect(await status(configurationOf(bench, broken), { intervalMs: 10 }, terminal)).toBe(1)
    expect(terminal.output).toContain('does not exist (factlib-relay setup)')
    expect(terminal.output).toContain('Kafka cannot be looked at')
  })
})

describe('dead-letters', () => {
  /** Facts whose topic takes 1,000 bytes, one larger in three parts, one that is no fact, one after a blocked key. */
  async function withDeadLetters() {
    const bench = await createBench()
    const deadLetterTopic = `${bench.prefix}_dead`
    const options = { deadLetterTopic, deadLetterKeys: 'block-key', sendBytes: 4_096 } as const
    await setup(configurationOf(bench).settings, {}, captureTerminal())
    await createTopics(bench.brokers, [{ topic: deadLetterTopic, partitions: 2 }])
    await bench.topics({ topic: 'order', config: { 'max.message.bytes': '1000' } })
    const relay = bench.relay(options)
    await relay.start()
    const payload = randomBytes(6_000)
    await bench.commit({ aggregateId: 'o-1', eventType: 'order.large', payload, metadata: { tenant: 'a' } })
    await bench.commit({ aggregateId: 'o-1', eventType: 'order.after', payload: { after: true } })
    await bench.commit({ aggregateId: 'o-2', eventType: 'order.small' })
    await emitBytes(bench.database.pool, bench.prefix, Buffer.from([1, 2, 3]))
    await bench.whenAllConfirmed(relay)
    await relay.stop()
    const { settings } = configurationOf(bench, options)
    const list = async (all = false) => {
      const terminal = captureTerminal()
      expect(await listDeadLetters(settings, { json: true, all }, terminal)).toBe(0)
      return terminal.json<{ deadLetters: { id: string; cause: string; parts: number; topic: string }[] }>().deadLetters
    }
    const topic = `${bench.prefix}.order`
    return { bench, settings, list, payload, topic, options }
  }

  it('lists, shows, requeues as emitted and in order, discards; resolved ones are hidden, and a new relay lets the key through', async () => {
    const { bench, settings, list, payload, topic, options } = await withDeadLetters()
    const open = await list()
    expect(open.map(({ cause }) => cause).sort()).toEqual(['key_blocked', 'malformed', 'too_large'])
    const large = open.find(({ cause }) => cause === 'too_large')
    const blocked = open.find(({ cause }) => cause === 'key_blocked')
    const malformed = open.find(({ cause }) => cause === 'malformed')
    expect(large).toMatchObject({ parts: 6, topic, key: 'o-1', attempts: 1 })

    const shown = captureTerminal()
    await showDeadLetter(settings, large?.id ?? '', { payload: true }, shown)
    expect(shown.output).toContain('fact        order o-1 order.large')
    expect(shown.output).toContain(
      `00000000  ${payload
        .subarray(0, 4)
        .toString('hex')
        .replace(/(..)(?=.)/g, '$1 ')}`,
    )
    const hidden = captureTerminal()
    await showDeadLetter(settings, large?.id ?? '', {}, hidden)
    expect(hidden.output).not.toContain('00000000 ')

    // In the way: its order, a missing topic, a broker that still refuses, a "no".
    await expect(requeue(settings, { id: blocked?.id ?? '', yes: true }, captureTerminal())).rejects.toThrow(
      /an earlier dead letter of its key is open/,
    )
    await expect(requeue(settings, { all: true, yes: true }, captureTerminal())).rejects.toThrow(
      /nothing was requeued:\n- ".*" is malformed, so it has no topic/,
    )
    await expect(requeue(settings, { key: 'o-1', yes: true }, captureTerminal())).rejects.toThrow(
      /0 of 2 requeued, then: .*MESSAGE_TOO_LARGE/,
    )
    await expect(requeue(settings, {}, captureTerminal())).rejects.toThrow(/say which/)
    expect(await requeue(settings, { key: 'o-1' }, captureTerminal(false))).toBe(1)
    expect(await list()).toHaveLength(3)

    await bench.topics({ topic: 'mended' })
    const mended = `${bench.prefix}.mended`
    const terminal = captureTerminal(true)
    expect(await requeue(settings, { key: 'o-1', topic: mended }, terminal)).toBe(0)
    expect(terminal.notes).toContain('restart the relay')
    const records = await readTopic(bench.brokers, mended)
    const facts = (await bench.committed()).filter(({ content }) => content.includes('o-1'))
    expect(records.map((record) => header(record, 'event_type'))).toEqual(['order.large', 'order.after'])
    for (const [index, record] of records.entries()) {
      expect(record.value).toEqual(facts[index]?.content)
      expect(record.key?.toString()).toBe('o-1')
      expect(record.headers.map(([name]) => name)).toEqual(['event_id', 'event_type', 'LSN'])
    }
    expect((await list()).map(({ cause }) => cause)).toEqual(['malformed'])
    expect(await list(true)).toHaveLength(3)

    expect(await discard(settings, { id: malformed?.id ?? '', yes: true, json: true }, captureTerminal())).toBe(0)
    expect(await list()).toEqual([])
    await expect(discard(settings, { id: malformed?.id ?? '', yes: true }, captureTerminal())).rejects.toThrow(
      /already/,
    )

    const next = bench.relay(options)
    await next.start()
    await bench.commit({ aggregateId: 'o-1', eventType: 'order.free' })
    await bench.whenAllConfirmed(next)
    await next.stop()
    const produced = await readTopic(bench.brokers, topic)
    expect(produced.map((record) => header(record, 'event_type'))).toEqual(['order.small', 'order.free'])
  })

  it('are none where the topic is not there, and need its name', async () => {
    const bench = await createBench()
    const terminal = captureTerminal()
    const { settings } = configurationOf(bench, { deadLetterTopic: `${bench.prefix}_none` })
    expect(await listDeadLetters(settings, {}, terminal)).toBe(0)
    expect(terminal.output).toBe(`No dead letters: topic "${bench.prefix}_none" does not exist (yet).\n`)
    await expect(listDeadLetters(configurationOf(bench).settings, {}, terminal)).rejects.toThrow(/DEAD_LETTER_TOPIC/)
  })
})
