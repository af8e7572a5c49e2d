import { expect } from 'vitest'
import { type ChaosBench, readTruth } from './chaos.ts'
import { report } from './chaos-report.ts'
import { type CheckResult, type Fault, isClean } from './checker.ts'
import type { Load } from './load.ts'

/**
 * The end of a scenario: stops the load, waits until all that was committed is in Kafka and confirmed, and judges.
 *
 * @throws when something was lost, invented, reordered or changed, or a status frame confirmed too early
 */
export async function reachVerdict(
  bench: ChaosBench,
  input: {
    readonly scenario: string
    readonly load?: Load
    readonly faults: readonly Fault[]
    /** Default 1. */
    readonly brokers?: number
    /** Until all is in Kafka. Default 40,000. */
    readonly timeoutMs?: number
    /** Facts that are in a dead-letter topic instead. */
    readonly deadLetters?: ReadonlySet<string>
    /** Default true: waits until PostgreSQL has the position. */
    readonly confirmed?: boolean
  },
): Promise<CheckResult> {
  const { scenario, load, faults, brokers = 1, timeoutMs = 40_000, confirmed = true, deadLetters } = input
  const { checker, watch, database } = bench
  await load?.stop()
  const truth = await readTruth(database.url)
  // The verdict names what is missing, better than the wait does.
  await checker.whenDelivered(truth, timeoutMs).catch(() => {})
  if (confirmed) await bench.whenAllConfirmed()
  await checker.read()
  const result = checker.judge({ truth, faults, optional: load?.optional ?? new Set() })
  report({ scenario, brokers, ...result, faults: faults.length })
  expect(result, result.examples.join('\n')).toMatchObject({ lost: 0, phantom: 0, reordered: 0, changed: 0 })
  expect(isClean(result)).toBe(true)
  expect(watch.problems).toEqual([])
  // Ten a second; a ping and the last one of a connection may come besides.
  expect(watch.mostFramesPerSecond).toBeLessThanOrEqual(13)
  const durableAtMs = (id: string) => (deadLetters?.has(id) ? 0 : checker.deliveredAtMs(id))
  expect(watch.findEarlyConfirmations(durableAtMs).slice(0, 5)).toEqual([])
  return result
}
