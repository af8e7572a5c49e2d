import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { encodeFact } from '../../../src/envelope/encode.ts'
import { Fact, type FactInput } from '../../../src/fact.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { createDatabase } from '../../support/database.ts'
import { ROOT, startNode, type TestProcess } from '../../support/process.ts'
import { adoptSlot } from '../../support/slot.ts'
import type { RelayBench } from '../relay-bench.ts'

export const TOKEN = 'correct-horse-battery'

export interface ConsoleProcess extends TestProcess {
  readonly url: string
}

/** The page as its sources are now. */
export function buildPage(): void {
  const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', join(ROOT, 'scripts/build-console.ts')], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`the console's page could not be built\n${stderr}`)
}

/** `factlib-relay run` with its console on a free port. */
export async function startRelay(
  bench: Pick<RelayBench, 'brokers' | 'database' | 'prefix' | 'slot'>,
  env: Readonly<Record<string, string>> = {},
): Promise<ConsoleProcess> {
  const relay = startNode('relay/cli/main.ts', ['run'], {
    env: {
      WAL_PREFIX: bench.prefix,
      MASTER_DATABASE_URL: bench.database.url,
      REPLICATION_SLOT_NAME: bench.slot.name,
      PUBLICATION_NAME: bench.slot.publication,
      KAFKA_BROKERS: bench.brokers.join(','),
      WAL_HEALTH_PORT: '0',
      METRICS_PORT: '0',
      CONSOLE_ENABLED: 'true',
      CONSOLE_PORT: '0',
      ...env,
    },
  })
  const line = await relay.whenLine('factlib-relay starts')
  const { consolePort } = JSON.parse(line) as { consolePort: number }
  return Object.assign(relay, { url: `http://127.0.0.1:${consolePort}/` })
}

/** Servers of its own: names that a reader knows, a budget for the slot, and a Kafka that can be taken away. */
export interface Shop extends Pick<RelayBench, 'brokers' | 'database' | 'prefix' | 'slot'> {
  /** Commits these facts, a transaction for each. */
  commit(...facts: readonly Partial<FactInput>[]): Promise<void>
  /** Commits `count` facts of a shop in one transaction. */
  commitMany(count: number, payloadBytes?: number): Promise<void>
  /** How many facts were committed so far. */
  readonly committed: number
}

export async function openShop(postgresUrl: string, brokers: readonly string[]): Promise<Shop> {
  const database = await createDatabase({ postgresUrl })
  const slot = adoptSlot(database, { slot: 'factlib_slot', publication: 'facts' })
  const prefix = 'shop'
  let committed = 0
  async function write(facts: readonly Partial<FactInput>[]): Promise<void> {
    const contents = facts.map((fact) =>
      Buffer.from(
        encodeFact(
          new Fact({ aggregateType: 'order', aggregateId: '1', eventType: 'order.changed', ...fact } as FactInput),
        ),
      ),
    )
    await database.query('SELECT pg_logical_emit_message(true, $1, content) FROM unnest($2::bytea[]) AS content', [
      prefix,
      contents,
    ])
    committed += facts.length
  }
  return {
    database,
    slot,
    prefix,
    brokers,
    get committed() {
      return committed
    },
    async commit(...facts) {
      for (const fact of facts) await write([fact])
    },
    commitMany: (count, payloadBytes = 40) =>
      write(Array.from({ length: count }, (_, index) => shopFact(committed + index, payloadBytes))),
  }
}

const EVENTS = [
  ['order', 'order.placed'],
  ['payment', 'payment.captured'],
  ['order', 'order.paid'],
  ['customer', 'customer.changed'],
  ['order', 'order.shipped'],
] as const
export const SHOP_TOPICS = ['shop.order', 'shop.payment', 'shop.customer']

function shopFact(index: number, payloadBytes: number): FactInput {
  const [aggregateType, eventType] = EVENTS[index % EVENTS.length] as (typeof EVENTS)[number]
  return {
    aggregateType,
    aggregateId: `${aggregateType}-${10_000 + ((index * 37) % 4_000)}`,
    eventType,
    payload: { total: (index * 13) % 500, note: 'x'.repeat(payloadBytes) },
  }
}

/** Facts at this rate until it is stopped. */
export function keepCommitting(shop: Shop, perSecond: (second: number) => number): () => Promise<void> {
  let second = 0
  let last: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    const count = Math.round(perSecond(second / 4) / 4)
    second++
    last = last.then(() => shop.commitMany(Math.max(1, count)))
  }, 250)
  const stop = async () => {
    clearInterval(timer)
    await last
  }
  registerCleanup(stop)
  return stop
}
