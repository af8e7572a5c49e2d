import type { SourceVitals } from './source/source.ts'
import type { RelayHealth } from './types.ts'

// What the relay answers when it is asked how it is. Pure: relay.ts collects, this decides.
//
//   health      facts get through to Kafka, or another relay sees to it       /health
//   readiness   and PostgreSQL really delivers: the heartbeat comes back      /readyz
//   liveness    this process makes progress; a restart would help if not      /livez
//
// Kafka, PostgreSQL and a long transaction are nothing that a restart mends: liveness does not look at them.

/** Facts that have not got through for this long make the relay unhealthy. */
const TROUBLE_MS = 10_000
/** A server that spools a large transaction sends nothing meanwhile; more than this is worth saying. */
const HEARTBEAT_OVERDUE_MS = 15_000
/** Status frames leave every 10 s at the latest, whatever the servers do. */
const NO_STATUS_MS = 60_000

export interface HealthParts {
  readonly phase: string
  /** What keeps it from PostgreSQL, in words. */
  readonly readerTrouble: string | undefined
  /** The oldest thing that does not get through. */
  readonly deliveryTrouble: { readonly sinceMs: number; readonly reason: string } | undefined
  /** What the look at Kafka said. */
  readonly sinkTrouble: string | undefined
  readonly vitals: SourceVitals | undefined
  /** Monotonic milliseconds. */
  readonly nowMs: number
}

export function judgeHealth(parts: HealthParts): RelayHealth {
  const { phase, readerTrouble, deliveryTrouble, sinkTrouble, nowMs } = parts
  if (readerTrouble !== undefined) return { ok: false, reason: readerTrouble }
  // On standby a request that was under way waits for the slot: its facts are the other relay's now.
  if (deliveryTrouble && phase !== 'standby' && nowMs - deliveryTrouble.sinceMs > TROUBLE_MS)
    return { ok: false, reason: deliveryTrouble.reason }
  return sinkTrouble === undefined ? { ok: true } : { ok: false, reason: sinkTrouble }
}

export function judgeReadiness(parts: HealthParts): RelayHealth {
  const health = judgeHealth(parts)
  const { vitals } = parts
  if (!health.ok || vitals?.heartbeatProblem === undefined || vitals.heartbeatOverdueMs < HEARTBEAT_OVERDUE_MS)
    return health
  return { ok: false, reason: vitals.heartbeatProblem }
}

export function judgeLiveness({ phase, vitals, nowMs }: Pick<HealthParts, 'phase' | 'vitals' | 'nowMs'>): RelayHealth {
  if (phase === 'stopped' || phase === 'failed') return { ok: false, reason: `the relay has ${phase}` }
  if (phase === 'streaming' && vitals && nowMs - vitals.reportedAtMs > NO_STATUS_MS)
    return {
      ok: false,
      reason: `no status was sent to PostgreSQL for ${Math.round((nowMs - vitals.reportedAtMs) / 1_000)} s`,
    }
  return { ok: true }
}
