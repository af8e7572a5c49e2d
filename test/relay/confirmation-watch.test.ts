import { describe, expect, it } from 'vitest'
import { type ConfirmationSample, ConfirmationWatch } from '../../relay/confirmation-watch.ts'
import { toLsn } from '../../relay/lsn.ts'

const sample = (
  lastFactEnd: number,
  reported: number,
  durable = lastFactEnd,
  pendingFacts = 0,
): ConfirmationSample => ({
  lastFactEndLsn: toLsn(BigInt(lastFactEnd)),
  reportedLsn: toLsn(BigInt(reported)),
  durableLsn: toLsn(BigInt(durable)),
  pendingFacts,
})

describe('the watch on confirmations', () => {
  it('says it once a minute when what is durable in Kafka stays unconfirmed for 15 s', () => {
    const watch = new ConfirmationWatch()
    const said: number[] = []
    for (let second = 0; second <= 80; second++)
      if (watch.sample(second * 1_000, sample(100, 50))?.includes('durable in Kafka')) said.push(second)
    expect(said).toEqual([15, 75])
    expect(watch.ageSeconds(80_000)).toBe(80)
  })

  it('says that facts wait for Kafka where they do, also while their transaction is open', () => {
    const watch = new ConfirmationWatch()
    watch.sample(0, sample(0, 50, 0, 7))
    expect(watch.sample(15_000, sample(0, 50, 0, 7))).toContain('7 facts wait for Kafka, the oldest for 15 s')
    const ofOne = new ConfirmationWatch()
    ofOne.sample(0, sample(0, 50, 0, 1))
    expect(ofOne.sample(15_000, sample(0, 50, 0, 1))).toBe(
      '1 fact waits for Kafka for 15 s; PostgreSQL keeps WAL for it',
    )
    watch.sample(16_000, sample(100, 50, 100))
    expect(watch.ageSeconds(16_000)).toBe(16)
    watch.sample(17_000, sample(100, 100))
    expect(watch.ageSeconds(17_000)).toBe(0)
  })

  it('stays silent under a load that is always confirmed a second later', () => {
    const watch = new ConfirmationWatch()
    for (let second = 1; second < 100; second++) {
      expect(watch.sample(second * 1_000, sample(second * 10, (second - 1) * 10, second * 10, 3))).toBeUndefined()
      expect(watch.ageSeconds(second * 1_000)).toBeLessThan(3)
    }
  })

  it('is idle when nothing waits, and forgets when it is told to', () => {
    const watch = new ConfirmationWatch()
    expect(watch.sample(0, sample(100, 100))).toBeUndefined()
    expect(watch.ageSeconds(60_000)).toBe(0)
    watch.sample(1_000, sample(200, 100))
    watch.clear()
    expect(watch.ageSeconds(60_000)).toBe(0)
  })
})
