import { describe, expect, it } from 'vitest'
import { backoffMs, decideSinkFault, decideSourceFault, EXIT, type SinkDecision } from '../../relay/policy.ts'
import type { SinkFaultKind } from '../../relay/sink/sink.ts'

const EXPECTED: Record<
  SinkFaultKind,
  { action: SinkDecision['action']; firstMs: number; mostMs: number; says: RegExp }
> = {
  retry: { action: 'retry', firstMs: 100, mostMs: 5_000, says: /sent again/ },
  renew: { action: 'renew', firstMs: 0, mostMs: 5_000, says: /producer/ },
  record: { action: 'isolate', firstMs: 500, mostMs: 10_000, says: /max\.message\.bytes/ },
  configuration: { action: 'hold', firstMs: 500, mostMs: 10_000, says: /credentials, ACLs/ },
  topicMissing: { action: 'hold', firstMs: 200, mostMs: 3_000, says: /KAFKA_CREATE_TOPICS/ },
}

describe('policy', () => {
  it.each(Object.entries(EXPECTED) as [SinkFaultKind, (typeof EXPECTED)[SinkFaultKind]][])(
    '%s: an action, a bounded delay, a sentence with the error in it; never nothing',
    (kind, expected) => {
      const fault = { kind, type: 'SOME_ERROR', message: 'some words' }
      expect(decideSinkFault(fault, 1)).toMatchObject({ action: expected.action, delayMs: expected.firstMs })
      for (let attempt = 1, last = -1; attempt < 2_000; attempt++) {
        const { action, delayMs } = decideSinkFault(fault, attempt)
        expect(action).toBe(expected.action)
        expect(delayMs).toBeGreaterThanOrEqual(last)
        expect(delayMs).toBeLessThanOrEqual(expected.mostMs)
        last = delayMs
      }
      expect(decideSinkFault(fault, 1_000).delayMs).toBe(expected.mostMs)
      expect(decideSinkFault(fault, 1).hint).toMatch(expected.says)
      expect(decideSinkFault(fault, 1).hint).toContain('[SOME_ERROR]')
    },
  )

  it('doubles from the first delay to the most', () => {
    expect([1, 2, 3, 4, 5, 6, 7, 8, 100_000].map((attempt) => backoffMs(attempt))).toEqual([
      100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000,
    ])
  })

  it('connects to PostgreSQL again within 0.1 to 10 seconds, spread by a quarter', () => {
    const lost = Object.assign(new Error('Connection terminated'), { code: '57P01' })
    expect(decideSourceFault(lost, 1, { random: () => 0 })).toMatchObject({ delayMs: 75, type: '57P01' })
    expect(decideSourceFault(lost, 1, { random: () => 1 }).delayMs).toBe(125)
    expect(decideSourceFault(lost, 50, { random: () => 0.5 }).delayMs).toBe(10_000)
    expect(decideSourceFault(new Error('closed'), 1).type).toBe('CONNECTION')
    expect(decideSourceFault(undefined, 1).type).toBe('CONNECTION')
    expect(decideSourceFault(lost, 1).hint).toContain('is gone')
    expect(decideSourceFault(lost, 1, { wasStreaming: false }).hint).toContain('no connection to PostgreSQL yet')
  })

  it('asks for a slot in use about once a second for ever: a takeover takes no backoff', () => {
    for (const attempt of [1, 10, 10_000])
      for (const random of [0, 0.5, 1]) {
        const { delayMs } = decideSourceFault({ code: 'FACTLIB_SLOT_IN_USE' }, attempt, { random: () => random })
        expect(delayMs).toBeGreaterThanOrEqual(300)
        expect(delayMs).toBeLessThanOrEqual(1_000)
      }
  })

  it.each(['28P01', '28000', '42501', '3D000'])(
    'tries slowly where PostgreSQL refuses us (%s), and says what to check',
    (code) => {
      expect(decideSourceFault({ code }, 1)).toMatchObject({
        delayMs: 2_000,
        type: code,
        hint: expect.stringContaining('pg_hba'),
      })
      expect(decideSourceFault({ code }, 50).delayMs).toBe(15_000)
    },
  )

  it('says which right is missing where the publication cannot be created', () => {
    const denied = Object.assign(new Error('permission denied for database shop'), { code: '42501' })
    expect(decideSourceFault(denied, 1).hint).toContain('GRANT CREATE ON DATABASE')
  })

  it('has an exit code of its own for each way to end', () => {
    expect(EXIT).toMatchObject({
      stopped: 0,
      badConfiguration: 2,
      slotGone: 10,
      slotUnusable: 11,
      serverUnfit: 12,
      malformedFact: 13,
      portInUse: 75,
    })
    expect(new Set(Object.values(EXIT)).size).toBe(Object.keys(EXIT).length)
  })
})
