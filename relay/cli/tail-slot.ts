import { createEnvelopeScan, scanEnvelope } from '../../src/envelope/scan.ts'
import type { RelayConfiguration } from '../config/settings.ts'
import { connectPostgres, describeError } from '../doctor/postgres-connection.ts'
import { formatLsn } from '../lsn.ts'
import { createRouter } from '../router.ts'
import { type PeekedMessage, peekSlot } from '../source/wal/peek.ts'
import { CliError } from './cli-error.ts'
import type { TailMessage, TailSource } from './tail.ts'

/** So many changes are decoded at most: a slot may hold gigabytes. */
const MOST_CHANGES = 50_000
const STATEMENT_LIMIT_MS = 60_000

const scan = createEnvelopeScan()

/** What waits in the slot, oldest first; nothing is consumed. */
export async function openSlotTail({
  settings,
  routes,
}: Pick<RelayConfiguration, 'settings' | 'routes'>): Promise<TailSource> {
  const fail = (error: unknown) => {
    const { code } = error as { code?: unknown }
    if (code === '55006')
      return new CliError(
        `a relay reads from slot "${settings.slot}" now, so nobody else may: its facts are in Kafka in a moment (tail without --from-slot)`,
        { cause: error },
      )
    if (code === '42704' && /slot/.test(String((error as Error).message)))
      return new CliError(`replication slot "${settings.slot}" does not exist: factlib-relay setup`, { cause: error })
    return new CliError(`cannot look into slot "${settings.slot}": ${describeError(error)}`, { cause: error })
  }
  const connection = await connectPostgres(settings.database, { statementLimitMs: STATEMENT_LIMIT_MS }).catch(
    (error: unknown) => {
      throw fail(error)
    },
  )
  const route = createRouter(routes)
  const every = settings.prefixes.includes('*')
  const toTail = ({ prefix, content, lsn, commitTimeMicros }: PeekedMessage): TailMessage => {
    const { ok, aggregateType, eventType } = scanEnvelope(content, scan)
    return {
      topic: ok && aggregateType !== '' ? route(prefix, aggregateType, eventType).topic : undefined,
      prefix,
      position: formatLsn(lsn),
      atMs: commitTimeMicros === undefined ? undefined : Number(commitTimeMicros / 1_000n),
      value: content,
      id: undefined,
    }
  }
  let isCut = false
  return {
    get unseen() {
      return isCut
        ? `Nothing that matches among the first ${MOST_CHANGES} changes in the slot, and it holds more.`
        : undefined
    },
    async recent(limit, passes) {
      const client = {
        query: async (text: string, values?: unknown[]) => ({ rows: await connection.query(text, values) }),
      }
      for (let changes = Math.max(100, limit * 4); ; changes = Math.min(MOST_CHANGES, changes * 8)) {
        const { messages, isAll } = await peekSlot(client, settings, changes).catch((error: unknown) => {
          throw fail(error)
        })
        const own = messages.filter(({ prefix }) => every || settings.prefixes.includes(prefix)).map(toTail)
        if (isAll || own.filter(passes).length >= limit || changes === MOST_CHANGES) {
          isCut = !isAll
          return own
        }
      }
    },
    close: () => connection.close(),
  }
}
