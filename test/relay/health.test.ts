import { describe, expect, it } from 'vitest'
import { type HealthParts, judgeHealth, judgeLiveness, judgeReadiness } from '../../relay/health.ts'
import { ZERO_LSN } from '../../relay/lsn.ts'
import type { SourceVitals } from '../../relay/source/source.ts'

const vitals: SourceVitals = {
  reportedLsn: ZERO_LSN,
  reportedAtMs: 100_000,
  heartbeatSeconds: 0.2,
  heartbeatOverdueMs: 0,
  heartbeatProblem: undefined,
  slot: undefined,
}
const well: HealthParts = {
  phase: 'streaming',
  readerTrouble: undefined,
  deliveryTrouble: undefined,
  sinkTrouble: undefined,
  vitals,
  nowMs: 100_000,
}
const ok = { ok: true }

describe('what the relay answers', () => {
  it('is well when nothing is wrong', () => {
    for (const judge of [judgeHealth, judgeReadiness, judgeLiveness]) expect(judge(well)).toEqual(ok)
  })

  it.each<[string, Partial<HealthParts>, string]>([
    ['PostgreSQL', { readerTrouble: 'not connected to PostgreSQL: x' }, 'not connected to PostgreSQL: x'],
    ['Kafka', { sinkTrouble: 'Kafka does not answer' }, 'Kafka does not answer'],
    ['facts', { deliveryTrouble: { sinceMs: 89_999, reason: 'shop.order/0: refused' } }, 'shop.order/0: refused'],
  ])('is neither healthy nor ready with trouble at %s, but alive', (_what, parts, reason) => {
    expect(judgeHealth({ ...well, ...parts })).toEqual({ ok: false, reason })
    expect(judgeReadiness({ ...well, ...parts })).toEqual({ ok: false, reason })
    expect(judgeLiveness({ ...well, ...parts })).toEqual(ok)
  })

  it('is a healthy standby while a request that was under way waits for the slot', () => {
    const standby = { ...well, phase: 'standby', vitals: undefined }
    expect(judgeHealth({ ...standby, deliveryTrouble: { sinceMs: 0, reason: 'shop.order/0: no answer' } })).toEqual(ok)
    expect(judgeHealth({ ...standby, sinkTrouble: 'Kafka does not answer' }).ok).toBe(false)
  })

  it('gives a request of facts ten seconds', () => {
    expect(judgeHealth({ ...well, deliveryTrouble: { sinceMs: 90_000, reason: 'slow' } })).toEqual(ok)
  })

  it('is not ready, but healthy, when the heartbeat is overdue: a long transaction must not get it restarted', () => {
    const overdue = (heartbeatOverdueMs: number) => ({
      ...well,
      vitals: { ...vitals, heartbeatOverdueMs, heartbeatProblem: 'it has not come back' },
    })
    expect(judgeReadiness(overdue(14_999))).toEqual(ok)
    expect(judgeReadiness(overdue(15_000))).toEqual({ ok: false, reason: 'it has not come back' })
    expect(judgeHealth(overdue(60_000))).toEqual(ok)
    expect(judgeLiveness(overdue(60_000))).toEqual(ok)
  })

  it('is not alive when it has ended, or when no status leaves any more', () => {
    for (const phase of ['stopped', 'failed'])
      expect(judgeLiveness({ ...well, phase })).toEqual({ ok: false, reason: `the relay has ${phase}` })
    expect(judgeLiveness({ ...well, nowMs: 160_000 })).toEqual(ok)
    expect(judgeLiveness({ ...well, nowMs: 160_001 })).toMatchObject({
      ok: false,
      reason: expect.stringContaining('60 s'),
    })
    expect(judgeLiveness({ ...well, phase: 'connecting', nowMs: 900_000 })).toEqual(ok)
  })
})
