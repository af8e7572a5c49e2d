/**
 * `DatabaseTarget` → what `new pg.Client()` takes, in libpq's order of hosts and with its fallbacks of `sslmode`.
 * Pure: relay/source/wal/connect.ts opens the connections.
 */
import { isIP } from 'node:net'
import type { ClientConfig } from 'pg'
import type { DatabaseHost, DatabaseTarget } from '../types.ts'

/** One try to connect: a host, with or without TLS. */
export interface ConnectionAttempt extends DatabaseHost {
  readonly tls: boolean
}

/**
 * The tries that libpq would make, in its order: each host in turn, `prefer` with TLS then without, `allow` the other way
 * round. A Unix socket is never encrypted, whatever the mode says.
 *
 * @example
 * ```ts
 * for (const attempt of connectionAttempts(target)) {
 *   try {
 *     return await open(toPgConfig(target, attempt))
 *   } catch (error) {
 *     if (!mayTryAnotherHost(error)) throw error
 *   }
 * }
 * ```
 */
export function connectionAttempts(target: DatabaseTarget): ConnectionAttempt[] {
  return target.hosts.flatMap((host) => {
    if (isSocketFolder(host.host) && host.address === undefined) return [{ ...host, tls: false }]
    return TLS_ORDER[target.sslMode].map((tls) => ({ ...host, tls }))
  })
}

const TLS_ORDER: Readonly<Record<DatabaseTarget['sslMode'], readonly boolean[]>> = {
  disable: [false],
  allow: [false, true],
  prefer: [true, false],
  require: [true],
  'verify-ca': [true],
  'verify-full': [true],
}

/**
 * Whether another HOST is worth a try after this error, as libpq decides: not after the server itself said no (a wrong
 * password does not get better elsewhere), but while it is starting up or stopping. The same host's other try of
 * `prefer` or `allow` is always worth it.
 */
export function mayTryAnotherHost(error: unknown): boolean {
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown }
  const fromServer = typeof severity === 'string' && typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)
  return !fromServer || code === CANNOT_CONNECT_NOW
}

const CANNOT_CONNECT_NOW = '57P03'

/**
 * The configuration of `pg.Client` for one host (or one attempt). `require` encrypts without verifying, unless there is
 * an authority's certificate: then it verifies the chain, as `verify-ca` does; `verify-full` verifies the name too, against
 * Node's own authorities where none is given.
 *
 * @example
 * ```ts
 * const client = new Client({ ...toPgConfig(target, target.hosts[0]!), replication: 'database' })
 * ```
 */
export function toPgConfig(target: DatabaseTarget, host: DatabaseHost & { readonly tls?: boolean }): ClientConfig {
  const tls = host.tls ?? (TLS_ORDER[target.sslMode][0]! && !isSocketFolder(host.host))
  return {
    host: host.address ?? host.host,
    port: host.port,
    user: target.user,
    ...(target.password === undefined ? {} : { password: target.password }),
    database: target.database,
    application_name: target.applicationName,
    connectionTimeoutMillis: target.connectTimeoutMs,
    keepAlive: true,
    ...(target.options === undefined ? {} : { options: target.options }),
    ...(target.channelBinding === undefined ? {} : { enableChannelBinding: true }),
    // `ssl: false` and not its absence: otherwise pg would read PGSSLMODE with a meaning of its own.
    ssl: tls ? tlsOptions(target, host) : false,
    ...(tls && target.sslNegotiation !== undefined ? { sslnegotiation: target.sslNegotiation } : {}),
  }
}

function tlsOptions(target: DatabaseTarget, host: DatabaseHost): Exclude<ClientConfig['ssl'], undefined | boolean> {
  const { sslMode, ssl } = target
  const verifiesName = sslMode === 'verify-full'
  const verifiesChain = verifiesName || sslMode === 'verify-ca' || (sslMode === 'require' && ssl?.ca !== undefined)
  return {
    ...ssl,
    rejectUnauthorized: verifiesChain,
    ...(verifiesChain && !verifiesName ? { checkServerIdentity: () => undefined } : {}),
    ...(host.address === undefined || isIP(host.host) !== 0 ? {} : { servername: host.host }),
  }
}

function isSocketFolder(host: string): boolean {
  return host.startsWith('/')
}
