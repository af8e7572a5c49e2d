import { expect, it } from 'vitest'
import { chaosClient, startChaosServers } from '../support/chaos.ts'
import { report } from '../support/chaos-report.ts'
import { runChaos } from '../support/chaos-run.ts'

// The same faults as ever, by one fixed seed; `npm run chaos` takes any, and as long as one likes.

const SEED = 5
/** FACTLIB_CHAOS_MINUTES: longer, on three brokers as well, and exactly once. */
const LONG_MINUTES = Number(process.env['FACTLIB_CHAOS_MINUTES'] || 0)
const MINUTES = LONG_MINUTES || 1.5

interface Run {
  readonly brokers: 1 | 3
  readonly exactlyOnce?: boolean
}
const RUNS: readonly Run[] =
  LONG_MINUTES === 0
    ? [{ brokers: 1 }]
    : [
        { brokers: 1 },
        { brokers: 3 },
        // Transactions are written by kafkajs only.
        ...(chaosClient() === 'kafkajs' ? [{ brokers: 3, exactlyOnce: true } as const] : []),
      ]

it.each(RUNS)(
  'random faults, $brokers broker(s), exactly once: $exactlyOnce: nothing lost, invented, reordered or changed',
  { timeout: MINUTES * 60_000 + 240_000 },
  async ({ brokers, exactlyOnce = false }) => {
    const servers = await startChaosServers({ brokers })
    const result = await runChaos({ servers, seed: SEED, minutes: MINUTES, exactlyOnce })
    report({ scenario: `${exactlyOnce ? 'Exactly once: r' : 'R'}andom faults, seed ${SEED}`, brokers, ...result })
    expect(result, result.examples.join('\n')).toMatchObject({ lost: 0, phantom: 0, reordered: 0, changed: 0 })
    expect(result).toMatchObject({ frameProblems: [], deaths: [] })
    if (exactlyOnce) expect(result.duplicates).toBe(0)
  },
)
