import pg, { type ClientConfig } from 'pg'
import { connectionAttempts, mayTryAnotherHost, toPgConfig } from '../config/pg-config.ts'
import type { DatabaseTarget } from '../types.ts'

/** Past this a command gives up on a connection, whatever the URL says, milliseconds. */
export const CONNECT_LIMIT_MS = 5_000
const STATEMENT_LIMIT_MS = 10_000

/** Runs one statement; values as `$1`. */
export type Query = (text: string, values?: unknown[]) => Promise<Record<string, unknown>[]>

/** An open connection for the commands; `close()` it. */
export interface PostgresConnection {
  readonly query: Query
  /** Where it leads, for messages. */
  readonly address: string
  close(): Promise<void>
}

/**
 * Connects as the relay would: hosts in their order, TLS as `sslmode` says, and of several hosts the one that takes
 * writes. Every step has a time limit.
 *
 * @param options.replication speaks the replication protocol too (simple queries only).
 * @throws the driver's error of the last try.
 */
export async function connectPostgres(
  target: DatabaseTarget,
  options: { readonly replication?: boolean; readonly statementLimitMs?: number } = {},
): Promise<PostgresConnection> {
  let failure: unknown
  let refusedBy: string | undefined
  for (const attempt of connectionAttempts(target)) {
    if (refusedBy !== undefined && refusedBy !== attempt.host) break
    const limited = toPgConfig(
      { ...target, connectTimeoutMs: Math.min(target.connectTimeoutMs || CONNECT_LIMIT_MS, CONNECT_LIMIT_MS) },
      attempt,
    )
    try {
      const connection = await open(limited, options)
      if (target.hosts.length > 1 && (await isStandby(connection))) {
        await connection.close()
        throw new Error(`${connection.address} is a standby`)
      }
      return connection
    } catch (error) {
      failure = error
      if (!mayTryAnotherHost(error)) refusedBy = attempt.host
    }
  }
  throw failure
}

async function open(
  config: ClientConfig,
  options: { readonly replication?: boolean; readonly statementLimitMs?: number },
): Promise<PostgresConnection> {
  const limitMs = options.statementLimitMs ?? STATEMENT_LIMIT_MS
  const client = new pg.Client({
    ...config,
    // A pooler refuses unknown start-up parameters, so the limit on the server's side is set by a statement below.
    query_timeout: limitMs + 1_000,
    ...(options.replication ? ({ replication: 'database' } as object) : {}),
  })
  // A server that goes away in between fails the next query; without this the process would end.
  client.on('error', () => {})
  try {
    await client.connect()
    if (!options.replication) await client.query(`SET statement_timeout = ${limitMs}`)
  } catch (error) {
    void client.end().catch(() => {})
    throw error
  }
  return {
    address: `${config.host}:${config.port}`,
    query: async (text, values) => (await client.query(text, values)).rows as Record<string, unknown>[],
    async close() {
      let timer: NodeJS.Timeout | undefined
      const limit = new Promise((resolve) => {
        timer = setTimeout(resolve, 1_000)
      })
      await Promise.race([client.end().catch(() => {}), limit])
      clearTimeout(timer)
    },
  }
}

async function isStandby({ query }: PostgresConnection): Promise<boolean> {
  const [row] = await query('SELECT pg_is_in_recovery() AS standby')
  return row?.['standby'] === true
}

/** A driver's error in one sentence: Node's connection errors hold theirs in a list. */
export function describeError(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return describeError(error.errors[0])
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown }
  const text = typeof message === 'string' && message !== '' ? message : String(error)
  return typeof code === 'string' && !text.includes(code) ? `${text} (${code})` : text
}
