// `npm run chaos -- --minutes 5 --seed 7 [--brokers 3] [--postgres 15] [--client platformatic] [--exactly-once]`: random faults on
// real servers, as often again by its seed; ends with a table, and with exit code 1 when anything was lost, invented, reordered or
// changed (with --exactly-once: or came twice).
//
// `npm run chaos -- --all [--minutes 5]`: every scenario of test/chaos at full length on PostgreSQL 14, 15 and 18 and on each Kafka
// client, random faults on one and three brokers, exactly once, and docs/reliability.md from it. In parts: `--results rows.jsonl`
// keeps the rows of earlier parts (of `npm run chaos` by a seed too), `--only 18:kafkajs --only 15:kafkajs` takes some.
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { startChaosServers } from '../test/support/chaos.ts'
import { report } from '../test/support/chaos-report.ts'
import { runChaos } from '../test/support/chaos-run.ts'
import { formatTable, isClean } from '../test/support/checker.ts'
import { runCleanups } from '../test/support/cleanup.ts'
import type { PostgresVersion } from '../test/support/services/postgres.ts'
import { runAll } from './chaos-all.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string' },
    brokers: { type: 'string', default: '1' },
    postgres: { type: 'string', default: '18' },
    client: { type: 'string', default: 'kafkajs' },
    'exactly-once': { type: 'boolean', default: false },
    all: { type: 'boolean', default: false },
    results: { type: 'string' },
    only: { type: 'string', multiple: true },
  },
})
process.env['FACTLIB_CHAOS_CLIENT'] = values.client
process.env['FACTLIB_CHAOS_POSTGRES'] = values.postgres
if (values.results) process.env['FACTLIB_CHAOS_RESULTS'] = resolve(values.results)
const exactlyOnce = values['exactly-once']
const minutes = positive('minutes', values.minutes)
const seed = values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : positive('seed', values.seed)

if (values.all)
  process.exitCode = await runAll({ minutes, results: process.env['FACTLIB_CHAOS_RESULTS'], only: values.only })
else process.exitCode = await runOne()
// Servers are gone; kafkajs may hold a timer of a connection that never came.
process.exit()

async function runOne(): Promise<number> {
  const brokers = values.brokers === '3' ? 3 : 1
  const postgresVersion = positive('postgres', values.postgres) as PostgresVersion
  const what = `${brokers} broker(s), ${values.client}${exactlyOnce ? ', exactly once' : ''}`
  console.log(`seed ${seed}, ${minutes} min, PostgreSQL ${postgresVersion}, ${what}`)
  try {
    const servers = await startChaosServers({ postgresVersion, brokers })
    const result = await runChaos({ servers, seed, minutes, exactlyOnce, say: (line) => console.log(line) })
    const { examples, frameProblems, deaths, recoveryMs, ...counts } = result
    const name = `${exactlyOnce ? 'Exactly once: r' : 'R'}andom faults for ${minutes} minutes, seed ${seed}`
    report({ scenario: name, brokers, ...result })
    console.log(formatTable([{ seed, ...counts, recoverySeconds: ((recoveryMs ?? 0) / 1_000).toFixed(1) }]))
    for (const line of [...examples, ...frameProblems.slice(0, 10), ...deaths]) console.log(line)
    const clean = isClean(result) && (!exactlyOnce || result.duplicates === 0)
    return clean && frameProblems.length === 0 && deaths.length === 0 ? 0 : 1
  } catch (error) {
    console.error(`seed ${seed}: ${(error as Error).message}`)
    return 1
  } finally {
    await runCleanups().catch((error: unknown) => console.error(String(error)))
  }
}

function positive(name: string, text: string): number {
  const number = Number(text)
  if (!(number > 0)) throw new Error(`--${name} must be a number above 0, but is "${text}"`)
  return number
}
