/**
 * `npm run demo`: a shop on Prisma, Drizzle and Sequelize, on one database; the real relay, killed once; a consumer.
 *
 *   servers.ts         PostgreSQL and Kafka, real ones, on free ports of this machine
 *   shop.ts            what a shop does; prisma-shop.ts, drizzle-shop.ts, sequelize-shop.ts: how, on each ORM
 *   day.ts             what is bought: transactions that commit, throw, or roll a savepoint back
 *   relay-process.ts   `factlib-relay`, as a process with OwlPost's variables
 *   consumer.ts        what arrives in Kafka
 *   truth.ts           the business rows: exactly they must have arrived
 *   tally.ts           who said what, and the verdict
 */
import { randomBytes } from 'node:crypto'
import * as Sentry from '@sentry/node'
// In your project: from 'factlib' and 'factlib/sentry'
import { configure } from '../../src/index.ts'
import { sentryTrace } from '../../src/trace/sentry.ts'
import { openConsumer } from './consumer.ts'
import { type Day, openDay } from './day.ts'
import { openDrizzleShop } from './drizzle-shop.ts'
import { openPrismaShop } from './prisma-shop.ts'
import { type RelayProcess, startRelayProcess } from './relay-process.ts'
import { openSequelizeShop } from './sequelize-shop.ts'
import { type DemoServers, type OnEnd, openServers } from './servers.ts'
import { AGGREGATE_TYPES, type Shop } from './shop.ts'
import { judge, Tally, type Verdict } from './tally.ts'
import { type Column, recordHeading, recordLine, say, styled, table } from './terminal.ts'
import { EVENTS_IN_ORDER, readTruth } from './truth.ts'

/** From when the servers are up to the verdict; it takes a few seconds. */
const LIMIT_MS = 50_000
const LAST_ROUND = 60
const INTERRUPTED = 130
const SIGNALS = ['SIGINT', 'SIGTERM'] as const

export interface DemoOptions {
  /** Leaves everything running after the verdict, until Ctrl-C. */
  readonly keep: boolean
}

/** Runs the demo; resolves to the exit code: 0 all arrived, 1 something is wrong (said on standard error), 130 Ctrl-C. */
export async function runDemo({ keep }: DemoOptions): Promise<number> {
  const cleanups: (() => Promise<unknown>)[] = []
  const onEnd: OnEnd = (cleanup) => void cleanups.push(cleanup)
  const stopped = whenAskedToStop()
  let exitCode = 1
  try {
    exitCode = await Promise.race([stopped.asked, run(keep, onEnd, stopped)])
  } catch (error) {
    console.error(styled('red', `demo failed: ${error instanceof Error ? error.message : String(error)}`))
  }
  for (const cleanup of cleanups.reverse()) {
    try {
      await cleanup()
    } catch (error) {
      console.error(styled('red', `demo failed to clear up: ${(error as Error).message}`))
      exitCode ||= 1
    }
  }
  stopped.forget()
  return exitCode
}

async function run(keep: boolean, onEnd: OnEnd, stopped: Stopped): Promise<number> {
  say('Starting PostgreSQL and Kafka')
  const prefix = process.env['FACTLIB_TEST_KAFKA_BROKERS'] ? `shop-${randomBytes(3).toString('hex')}` : 'shop'
  const servers = await openServers(prefix, AGGREGATE_TYPES, onEnd)

  // Without a DSN Sentry sends nothing anywhere; its traces travel with the facts all the same.
  Sentry.init({ tracesSampleRate: 1, defaultIntegrations: false })
  onEnd(() => Sentry.close(0))
  configure({ prefix, trace: sentryTrace(Sentry) })

  // First the relay, which makes the slot: a fact that is emitted before there is one is in no slot.
  say('Starting factlib-relay, and a consumer of its topics')
  const tally = new Tally((delivery) => console.log(recordLine(delivery)))
  const variables = {
    WAL_PREFIX: prefix,
    MASTER_DATABASE_URL: servers.databaseUrl,
    KAFKA_BROKERS: servers.brokers.join(','),
    REPLICATION_SLOT_NAME: servers.slot,
    PUBLICATION_NAME: servers.publication,
  }
  let relay = startRelayProcess(variables, servers.folder)
  onEnd(() => relay.kill())
  const late = deadline(onEnd)
  const within = <T>(work: Promise<T>): Promise<T> => Promise.race([work, relay.whenBroken, late])
  const consumer = openConsumer(servers.brokers, servers.topics, (arrival) => tally.arrived(arrival))
  onEnd(() => consumer.then(({ close }) => close()).catch(() => {}))
  await within(Promise.all([relay.whenStreaming, consumer]))

  const shops = await within(openShops(servers, onEnd))
  const day = openDay(shops, tally)
  onEnd(async () => day.close())
  say('The shops open')
  console.log(styled('underline', recordHeading()))
  await within(day.serve(1, 16))
  await within(tally.when(() => tally.deliveredCount > 0))
  const more = day.serve(17, 24)
  await within(Promise.race([tally.whenDelivered(tally.committedCount + 10), more]))
  await relay.kill()
  say(`SIGKILL to the relay (${relay.pid}), while facts are on their way`)
  await Promise.race([more, late])
  await Promise.race([day.serve(25, 30), late])
  say(`${tally.committedCount - tally.deliveredCount} facts wait in the WAL. Starting the relay again; the shops go on`)
  relay = startRelayProcess(variables, servers.folder)
  await within(day.serve(31, 40))
  await within(tally.whenDelivered(tally.committedCount))
  say('It has caught up')
  await within(day.serve(41, LAST_ROUND))
  await within(tally.whenDelivered(tally.committedCount))
  // A relay that has drained sends nothing more: what the topics hold then is all, and all of it is read. (The slot is no
  // measure: it may rest up to 64 KiB behind the WAL, which goes on without facts.)
  if (!keep) {
    const code = await Promise.race([relay.stop(), late])
    if (code !== 0) throw new Error(`the relay was asked to stop and ended with exit code ${code}`)
  }
  const records = await servers.recordCount()
  await within(tally.when(() => tally.arrivals.length >= records))

  const ok = await report(servers, shops, day, tally)
  if (!ok || !keep) return ok ? 0 : 1
  await printAddresses(servers, relay)
  stopped.exitCode = 0
  return Promise.race([stopped.asked, relay.whenBroken])
}

async function openShops({ databaseUrl, slot }: DemoServers, onEnd: OnEnd): Promise<Shop[]> {
  const shops = [await openPrismaShop(databaseUrl, slot), openDrizzleShop(databaseUrl), openSequelizeShop(databaseUrl)]
  for (const shop of shops) onEnd(() => shop.close())
  return shops
}

/** The table and the last line; false when not exactly the business rows have arrived, each in its order. */
async function report(servers: DemoServers, shops: readonly Shop[], day: Day, tally: Tally): Promise<boolean> {
  const rows = await readTruth(servers.database)
  const first = tally.deliveries.filter(({ duplicate }) => !duplicate)
  const column = (title: string, emitted: number, belongs: (id: string) => boolean): Column => {
    const ours = rows.filter(({ aggregateId }) => belongs(aggregateId))
    const arrivals = tally.arrivals.filter(({ aggregateId }) => belongs(aggregateId))
    return {
      title,
      emitted,
      committed: ours.length,
      verdict: judge(arrivals, ours, EVENTS_IN_ORDER),
      latenciesMs: first.filter(({ aggregateId }) => belongs(aggregateId)).map(({ latencyMs }) => latencyMs),
    }
  }
  const all = column(
    'all',
    shops.reduce((sum, { name }) => sum + day.emitted(name), 0),
    () => true,
  )
  const each = shops.map(({ name }) => column(name, day.emitted(name), (id) => id.startsWith(`${name.toLowerCase()}-`)))
  console.log(`\n${table([...each, all])}\n`)
  console.log(styled('gray', '  Latency is from commit to arrival; the time in which the relay was dead is in it.\n'))
  const wrong = complaints(all)
  if (wrong.length === 0) {
    console.log(styled('green', `demo ok: ${all.verdict.delivered} facts delivered, 0 lost, 0 phantom`))
    return true
  }
  console.error(styled('red', `demo failed: ${wrong.join('; ')}`))
  return false
}

function complaints({ emitted, committed, verdict }: Column): string[] {
  const { lost, phantom, outOfOrder }: Verdict = verdict
  const named = (what: string, names: readonly string[]): string[] =>
    names.length === 0
      ? []
      : [`${names.length} ${what} (${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''})`]
  const wrong = [...named('lost', lost), ...named('phantom', phantom), ...named('out of order', outOfOrder)]
  if (emitted <= committed) wrong.push(`${emitted} emitted and ${committed} committed: nothing was rolled back`)
  return wrong
}

async function printAddresses(servers: DemoServers, relay: RelayProcess): Promise<void> {
  const { health, metrics } = await relay.whenStreaming
  console.log(`
  PostgreSQL   ${servers.databaseUrl}
  Kafka        ${servers.brokers.join(',')}   topics ${servers.topics.join(', ')}
  health       ${health}
  metrics      ${metrics}

All of it runs until Ctrl-C; records are still printed.`)
}

/** Rejects when the demo takes too long. */
function deadline(onEnd: OnEnd): Promise<never> {
  const late = new Promise<never>((_, reject) => {
    const error = new Error(`not everything had arrived after ${LIMIT_MS / 1000} s`)
    const timer = setTimeout(() => reject(error), LIMIT_MS)
    onEnd(async () => clearTimeout(timer))
  })
  late.catch(() => {})
  return late
}

interface Stopped {
  /** Resolves to `exitCode` at the first SIGINT or SIGTERM. */
  readonly asked: Promise<number>
  exitCode: number
  forget(): void
}

/** A second signal ends the process at once; what was started ends with it (test/support/services/watchdog.ts). */
function whenAskedToStop(): Stopped {
  let resolve: (exitCode: number) => void = () => {}
  const asked = new Promise<number>((resolveAsked) => {
    resolve = resolveAsked
  })
  const stopped: Stopped = { asked, exitCode: INTERRUPTED, forget }
  let before = false
  const stop = (): void => {
    if (before) process.exit(INTERRUPTED)
    before = true
    console.log('\nstopping')
    resolve(stopped.exitCode)
  }
  for (const signal of SIGNALS) process.on(signal, stop)
  function forget(): void {
    for (const signal of SIGNALS) process.off(signal, stop)
  }
  return stopped
}
