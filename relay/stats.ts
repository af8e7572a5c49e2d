import type { Entry } from './entry.ts'
import type { Phase } from './lifecycle.ts'
import type { ReaderStats } from './slot-reader.ts'
import type { RelayStats } from './types.ts'

/** Where the relay stands now. */
export function relayStats(
  reader: { readonly phase: Phase; stats(): ReaderStats },
  lanes: RelayStats['lanes'],
  slotName: string,
): RelayStats {
  const { phase } = reader
  const { pendingFacts, pendingBytes, oldestCommitMicros, unconfirmedSeconds, vitals } = reader.stats()
  const heartbeatSeconds = vitals?.heartbeatSeconds
  const overdueSeconds = (vitals?.heartbeatOverdueMs ?? 0) / 1_000
  return {
    phase,
    slotName,
    pendingFacts,
    pendingBytes,
    lanes,
    unconfirmedSeconds,
    ...(vitals === undefined
      ? {}
      : { behindSeconds: oldestCommitMicros === undefined ? overdueSeconds : secondsSince(oldestCommitMicros) }),
    ...(heartbeatSeconds === undefined ? {} : { heartbeatSeconds }),
    ...(vitals?.slot === undefined ? {} : { slot: vitals.slot }),
  }
}

/** Seconds since a fact was committed; undefined where that is not known. */
export function deliverySeconds(entry: Entry | undefined): number | undefined {
  return entry?.commitTimeMicros === undefined ? undefined : secondsSince(entry.commitTimeMicros)
}

/** By this machine's clock, against PostgreSQL's: never below zero. */
function secondsSince(micros: bigint): number {
  return Math.max(0, Date.now() - Number(micros) / 1_000) / 1_000
}
