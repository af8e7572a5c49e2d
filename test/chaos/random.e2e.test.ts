import { expect, it } from 'vitest'
import { chaosPostgresVersion, startChaosServers } from '../support/chaos.ts'
import { runChaos } from '../support/chaos-run.ts'
import { report } from '../support/chaos-verdict.ts'

// The same faults as ever, by one fixed seed; `npm run chaos` takes any, and as long as one likes.

const SEED = 5
/** FACTLIB_CHAOS_MINUTES: longer, and on three brokers as well. */
const LONG_MINUTES = Number(process.env['FACTLIB_CHAOS_MINUTES'] || 0)
const MINUTES = LONG_MINUTES || 1
const CLUSTERS: readonly (1 | 3)[] = LONG_MINUTES > 0 ? [1, 3] : [1]

it.each(CLUSTERS)(
  'random faults, %i broker(s): nothing lost, invented, reordered or changed',
  {
    timeout: MINUTES * 60_000 + 180_000,
  },
  async (brokers) => {
    const servers = await startChaosServers({ brokers })
    const result = await runChaos({ servers, seed: SEED, minutes: MINUTES })
    report({ scenario: `Random faults, seed ${SEED}`, postgres: chaosPostgresVersion(), brokers, ...result })
    expect(result).toMatchObject({ lost: 0, phantom: 0, reordered: 0, changed: 0, frameProblems: [], deaths: [] })
  },
)
