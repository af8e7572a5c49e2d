import { describe, expect, it } from 'vitest'
import { RelayHaltError } from '../../relay/errors.ts'
import type { IncomingMessage } from '../../relay/intake.ts'
import { Ledger } from '../../relay/ledger.ts'
import { parseLsn, toLsn, ZERO_LSN } from '../../relay/lsn.ts'
import { partitionFor } from '../../relay/partitioner.ts'
import { interpretMessage, interpretOrForeign } from '../../relay/record.ts'
import { createRouter } from '../../relay/router.ts'
import { encodeFact } from '../../src/envelope/encode.ts'
import { Fact } from '../../src/fact.ts'
import { derived } from '../src/golden-vectors.ts'
import { type OwlpostVector, owlpostRecords } from './owlpost-records.ts'
import {
  emittedBytes,
  expectAsOwlpost,
  FOREIGN,
  HELD,
  MALFORMED,
  NOT_RECORDED,
  WITHOUT_TOPIC,
} from './owlpost-rules.ts'

const COMMIT_TIME = 1_795_247_489_700_000n
const SYSTEM_ID = 7_590_000_000_000_000_001n

function incoming(content: Buffer, over: Partial<IncomingMessage> = {}): IncomingMessage {
  const ledger = new Ledger(ZERO_LSN)
  ledger.begin()
  return {
    systemId: SYSTEM_ID,
    register: () => ledger.add(),
    transactional: true,
    messageLsn: toLsn(0x16_b374_d848n),
    unitLsn: toLsn(0x16_b374_d900n),
    indexInUnit: 3,
    prefix: 'westeros',
    content,
    commitTimeMicros: COMMIT_TIME,
    receivedAtMs: 5,
    ...over,
  }
}

function fromVector(vector: OwlpostVector): IncomingMessage {
  return incoming(emittedBytes(vector), {
    prefix: vector.prefix,
    messageLsn: parseLsn(vector.message_lsn),
    transactional: vector.transactional,
    commitTimeMicros: vector.transactional ? COMMIT_TIME : undefined,
  })
}

const route = createRouter([])
const vectors = (names: readonly string[]) =>
  owlpostRecords
    .filter(({ name }) => names.includes(name))
    .map((vector): [string, OwlpostVector] => [vector.name, vector])
const OTHERS = [...WITHOUT_TOPIC, ...MALFORMED, ...HELD, ...FOREIGN, ...NOT_RECORDED]
const produced = vectors(owlpostRecords.map(({ name }) => name).filter((name) => !OTHERS.includes(name)))

describe('what OwlPost made of the same bytes', () => {
  it('is all here, each under one rule', () => {
    expect(owlpostRecords).toHaveLength(71)
    expect(new Set(OTHERS).size).toBe(OTHERS.length)
    expect(produced).toHaveLength(71 - OTHERS.length)
    for (const [name, vector] of produced) expect(vector.records, name).toHaveLength(1)
    for (const [name, vector] of vectors([...MALFORMED, ...HELD, ...FOREIGN]))
      expect(vector.records, name).toHaveLength(0)
  })

  it.each(produced)('%s: the same record, but for the rules', (_, vector) => {
    const message = fromVector(vector)
    const entry = interpretMessage(message)
    const { topic } = route(entry.prefix, entry.aggregateType, entry.eventType)
    const partitions = vector.records[0]?.num_partitions as number
    expectAsOwlpost(
      vector,
      {
        topic: topic as string,
        partition: partitionFor(entry.key, partitions),
        key: entry.key,
        value: entry.value,
        headers: entry.headers,
      },
      message,
    )
  })

  it.each(vectors([...MALFORMED, ...WITHOUT_TOPIC]))(
    '%s: is not a fact, and says why without its bytes',
    (_, vector) => {
      const message = fromVector(vector)
      let error: unknown
      try {
        interpretMessage({ ...message, register: () => expect.unreachable('registered before it was certain') })
      } catch (thrown) {
        error = thrown
      }
      expect(error).toBeInstanceOf(RelayHaltError)
      expect(error).toMatchObject({ code: 'FACTLIB_MALFORMED_FACT', exitCode: 13 })
      expect((error as Error).message).toContain(vector.message_lsn)
      expect((error as Error).message).toContain('"westeros"')
      expect((error as Error).message).not.toContain('ffffff')
      expect((error as Error).message).not.toMatch(/"a"|u-1/)
      expect(interpretOrForeign(message)).toBeUndefined()
    },
  )

  it.each(vectors(HELD))('%s: is a fact, whatever Kafka says to it', (_, vector) => {
    const message = fromVector(vector)
    expect(interpretMessage(message).value.subarray(38).equals(message.content)).toBe(true)
  })
})

describe('interpretMessage', () => {
  it.each(derived.map((vector): [string, (typeof derived)[number]] => [vector.name, vector]))(
    '%s: the id derived elsewhere',
    (_, vector) => {
      const content = Buffer.from(vector.content_hex, 'hex')
      const entry = interpretMessage(
        incoming(content, {
          systemId: BigInt(vector.system_id),
          messageLsn: parseLsn(vector.message_lsn),
          prefix: vector.prefix,
          transactional: false,
          commitTimeMicros: undefined,
        }),
      )
      expect(entry.headers['event_id']).toBe(vector.id)
      expect(entry.value.toString('hex')).toBe(vector.value_hex)
    },
  )

  it('keeps nothing of the buffer that it was given', () => {
    const original = Buffer.from(
      encodeFact(new Fact({ aggregateType: 'order', aggregateId: 'key', eventType: 'e', payload: 'payload' })),
    )
    for (const content of [original, Buffer.from('12056f726465721a036b657922016530e807', 'hex')]) {
      const reused = Buffer.from(content)
      const entry = interpretMessage(incoming(reused))
      const [key, value] = [entry.key.toString('hex'), entry.value.toString('hex')]
      reused.fill(0xee)
      expect(entry.key.toString('hex')).toBe(key)
      expect(entry.value.toString('hex')).toBe(value)
      expect(entry.key.toString()).toBe('key')
    }
  })

  it('lets no entry of the trace take the place of a name of its own, nor of an object', () => {
    const fact = new Fact({
      aggregateType: 'order',
      aggregateId: '1',
      eventType: 'order.created',
      trace: {
        traceId: 't'.repeat(32),
        spanId: 's'.repeat(16),
        metadata: JSON.parse(
          '{"event_id":"x","event_type":"x","LSN":"FFFF/0","trace_id":"x","span_id":"x","__proto__":"p","constructor":"c","baggage":"b"}',
        ),
      },
    })
    const { headers } = interpretMessage(incoming(Buffer.from(encodeFact(fact))))
    expect(Object.entries(headers)).toEqual([
      ['event_id', fact.id],
      ['event_type', 'order.created'],
      ['LSN', '16/B374D848'],
      ['trace_id', 't'.repeat(32)],
      ['span_id', 's'.repeat(16)],
      ['__proto__', 'p'],
      ['constructor', 'c'],
      ['baggage', 'b'],
    ])
  })

  it('gives the same record each time: bytes, headers, their order', () => {
    for (const [, vector] of produced) {
      const [first, second] = [interpretMessage(fromVector(vector)), interpretMessage(fromVector(vector))]
      expect(second.value.equals(first.value)).toBe(true)
      expect(Object.entries(second.headers)).toEqual(Object.entries(first.headers))
    }
  })

  it('counts its bytes for the window', () => {
    const [, vector] = vectors(['py_payload_900k'])[0] as [string, OwlpostVector]
    expect(interpretMessage(fromVector(vector)).bytes).toBeGreaterThan(900_000)
  })
})
