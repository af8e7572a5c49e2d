import type { Entry } from '../../relay/entry.ts'
import { Ledger } from '../../relay/ledger.ts'
import { toLsn, ZERO_LSN } from '../../relay/lsn.ts'
import { keyHash } from '../../relay/partitioner.ts'
import { encodeFact, Fact } from '../../src/index.ts'

/** An entry as the relay would have made it, of a unit that nobody looks at. */
export function entry(aggregateId: string, eventType = 'thing.happened', over: Partial<Entry> = {}): Entry {
  const fact = new Fact({ aggregateType: 'thing', aggregateId, eventType })
  const value = Buffer.from(encodeFact(fact))
  return {
    unit: { ledger: new Ledger(ZERO_LSN), pending: 1, endLsn: undefined },
    id: fact.id,
    prefix: 'shop',
    aggregateType: 'thing',
    eventType,
    key: Buffer.from(aggregateId),
    keyHash: keyHash(over.key ?? Buffer.from(aggregateId)),
    timestampMs: 0,
    value,
    headers: { event_id: fact.id },
    messageLsn: toLsn(0x16_b374d848n),
    transactional: true,
    unitLsn: toLsn(0x16_b374d900n),
    indexInUnit: 0,
    commitTimeMicros: 1n,
    receivedAtMs: 0,
    bytes: value.length,
    settles: true,
    ...over,
  }
}

/** Lets everything happen that waits for no timer and no socket. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
}
