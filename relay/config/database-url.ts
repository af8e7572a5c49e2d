/**
 * A database's address in any form that libpq accepts → `DatabaseTarget`.
 *
 * Each parameter of libpq 18 and of Prisma is in one of these tables: it is honoured, tolerated (it changes nothing for
 * the relay), or refused with words, because ignoring it would be less safe than what was asked for.
 */
import { readFileSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { ConfigurationError } from '../../src/errors.ts'
import type { DatabaseHost, DatabaseTarget } from '../types.ts'
import { parseConnectionParameters } from './conninfo.ts'
import { nearest } from './nearest.ts'

/** What a URL may lean on outside itself; each has the process's own as its default. */
export interface DatabaseUrlContext {
  /** For `PGHOST`, `PGUSER`, `PGSSLMODE`, … as libpq reads them. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly readFile?: (path: string) => string
  /** The database user when none is given anywhere. */
  readonly osUser?: string
  /** Holds `.postgresql/root.crt` and the like. */
  readonly home?: string
}

/** Honoured, and the variable that stands in when the parameter is absent. */
const HONOURED: Readonly<Record<string, string | undefined>> = {
  host: 'PGHOST',
  hostaddr: 'PGHOSTADDR',
  port: 'PGPORT',
  dbname: 'PGDATABASE',
  user: 'PGUSER',
  password: 'PGPASSWORD',
  application_name: 'PGAPPNAME',
  fallback_application_name: undefined,
  connect_timeout: 'PGCONNECT_TIMEOUT',
  options: 'PGOPTIONS',
  target_session_attrs: 'PGTARGETSESSIONATTRS',
  channel_binding: 'PGCHANNELBINDING',
  gssencmode: 'PGGSSENCMODE',
  sslmode: 'PGSSLMODE',
  sslnegotiation: 'PGSSLNEGOTIATION',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  sslpassword: undefined,
  sslcertmode: 'PGSSLCERTMODE',
  ssl_min_protocol_version: 'PGSSLMINPROTOCOLVERSION',
  ssl_max_protocol_version: 'PGSSLMAXPROTOCOLVERSION',
  sslaccept: undefined,
}

/** libpq's that change nothing here, then those of Prisma and of node-postgres. */
const TOLERATED = new Set(
  `replication client_encoding keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout sslcompression
  sslsni krbsrvname gsslib gssdelegation load_balance_hosts min_protocol_version max_protocol_version sslkeylogfile authtype tty
  schema pgbouncer connection_limit pool_timeout socket_timeout statement_cache_size max_connection_lifetime
  max_idle_connection_lifetime single_use_connections uselibpqcompat`.split(/\s+/),
)

const REFUSED: Readonly<Record<string, string>> = {
  service: 'the relay does not read pg_service.conf: write its parameters here',
  servicefile: 'the relay does not read pg_service.conf: write its parameters here',
  passfile: 'name the file in the variable PGPASSFILE instead',
  requirepeer: 'the relay cannot check the owner of the socket: leave it out, or use TLS with sslmode=verify-full',
  require_auth: 'the relay cannot restrict the kind of authentication: leave it out, and restrict it in pg_hba.conf',
  sslcrl: 'the relay cannot check revocation lists: leave it out',
  sslcrldir: 'the relay cannot check revocation lists: leave it out',
  sslidentity: 'the relay does not read PKCS #12 files: give the certificate and its key as PEM in sslcert and sslkey',
  scram_client_key: 'give the password instead',
  scram_server_key: 'give the password instead',
  oauth_issuer: 'the relay does not speak OAuth: use a password or a client certificate',
  oauth_client_id: 'the relay does not speak OAuth: use a password or a client certificate',
  oauth_client_secret: 'the relay does not speak OAuth: use a password or a client certificate',
  oauth_scope: 'the relay does not speak OAuth: use a password or a client certificate',
}

const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
const TLS_VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const
/** Where a server on this machine listens when no host is given: Debian's socket folder, PostgreSQL's own, TCP. */
const DEFAULT_HOSTS = ['/var/run/postgresql', '/tmp', 'localhost']
const DEFAULT_CONNECT_TIMEOUT_MS = 10_000

/**
 * Reads where the database is, from a URL or from keywords, with libpq's defaults (`PGUSER`, `~/.postgresql/root.crt`, …).
 *
 * Certificates are read from their files now, so a missing one is found before anything is connected to. The relay always
 * looks for the server that takes writes, so `target_session_attrs` may say so, and nothing else.
 *
 * @example
 * ```ts
 * const target = parseDatabaseUrl('postgres://relay@db-1,db-2:5433/shop?sslmode=verify-full&sslrootcert=/etc/ca.pem')
 * target.hosts // [{ host: 'db-1', port: 5432 }, { host: 'db-2', port: 5433 }]
 * ```
 * @throws ConfigurationError with every problem at once; never with the password.
 */
export function parseDatabaseUrl(text: string, context: DatabaseUrlContext = {}): DatabaseTarget {
  const parameters = parseConnectionParameters(text)
  const env = context.env ?? process.env
  const problems: string[] = []
  checkNames(parameters.values, parameters.namesAreSafe, problems)

  const given = new Set<string>()
  const get = (name: string): string | undefined => {
    const own = parameters.values.get(name)
    if (own !== undefined && own !== '') {
      given.add(name)
      return own
    }
    const variable = HONOURED[name]
    return (variable !== undefined && env[variable]) || undefined
  }
  /** How to speak of a parameter: by its own name, or by the variable that it came from. */
  const called = (name: string) => (given.has(name) ? name : (HONOURED[name] ?? name))

  const choice = <T extends string>(name: string, choices: readonly T[], aliases: Readonly<Record<string, T>> = {}) => {
    const value = get(name)
    if (value === undefined) return undefined
    const found = aliases[value] ?? choices.find((one) => one === value)
    if (found === undefined) problems.push(`${called(name)} must be one of ${choices.join(', ')}`)
    return found
  }

  const hosts = parseHosts({ host: get('host'), hostaddr: get('hostaddr'), port: get('port') }, problems)
  const user = get('user') ?? context.osUser ?? systemUser()
  if (user === undefined) problems.push('no user is given: write it before the "@", or set PGUSER')
  const database = get('dbname') ?? user

  const rawTimeout = get('connect_timeout')
  if (rawTimeout !== undefined && !/^-?\d{1,6}$/.test(rawTimeout.trim())) {
    problems.push(`${called('connect_timeout')} must be a whole number of seconds`)
  }
  const attributes = get('target_session_attrs')
  if (attributes !== undefined && !['any', 'read-write', 'primary'].includes(attributes)) {
    problems.push(
      `${called('target_session_attrs')}: the relay reads from the server that takes writes: use read-write, or leave it out`,
    )
  }
  if (choice('gssencmode', ['disable', 'prefer', 'require']) === 'require') {
    problems.push(`${called('gssencmode')}=require: the relay does not speak GSSAPI: use TLS (sslmode) instead`)
  }
  const channelBinding = choice('channel_binding', ['disable', 'prefer', 'require'])
  const sslNegotiation = choice('sslnegotiation', ['postgres', 'direct'])
  const tls = parseTls({
    get,
    choice,
    called,
    readFile: context.readFile ?? readText,
    home: context.home ?? homedir(),
    problems,
  })
  if (sslNegotiation === 'direct' && ['disable', 'allow', 'prefer'].includes(tls.sslMode)) {
    problems.push(`${called('sslnegotiation')}=direct needs sslmode=require, verify-ca or verify-full`)
  }
  if (problems.length > 0) throw new ConfigurationError(problems)

  const password = get('password')
  const options = get('options')
  const seconds = rawTimeout === undefined ? undefined : Math.max(0, Number(rawTimeout))
  return {
    hosts,
    user: user!,
    ...(password === undefined ? {} : { password }),
    database: database!,
    applicationName: get('application_name') ?? get('fallback_application_name') ?? 'factlib-relay',
    sslMode: tls.sslMode,
    ...(tls.ssl === undefined ? {} : { ssl: tls.ssl }),
    ...(sslNegotiation === 'direct' ? { sslNegotiation } : {}),
    ...(channelBinding === 'require' ? { channelBinding: true as const } : {}),
    ...(options === undefined ? {} : { options }),
    connectTimeoutMs: seconds === undefined ? DEFAULT_CONNECT_TIMEOUT_MS : seconds * 1000,
  }
}

function checkNames(values: ReadonlyMap<string, string>, namesAreSafe: boolean, problems: string[]): void {
  const known = [...Object.keys(HONOURED), ...TOLERATED]
  for (const name of values.keys()) {
    const refusal = Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined
    if (refusal !== undefined) problems.push(`${name} is not supported: ${refusal}`)
    else if (!Object.hasOwn(HONOURED, name) && !TOLERATED.has(name)) {
      const near = nearest(name, known)
      const hint = near === undefined ? '' : `; did you mean "${near}"?`
      problems.push(
        namesAreSafe
          ? `unknown parameter "${name}"${hint}`
          : `a parameter is unknown${hint} (a value with a space is quoted in the keyword form; in a URL a password is percent-encoded)`,
      )
    }
  }
}

function parseHosts(
  raw: { host: string | undefined; hostaddr: string | undefined; port: string | undefined },
  problems: string[],
): DatabaseHost[] {
  const addresses = raw.hostaddr?.split(',')
  const names = raw.host?.split(',') ?? addresses ?? DEFAULT_HOSTS
  const ports = raw.port?.split(',') ?? ['']
  if (addresses !== undefined && addresses.length !== names.length) {
    problems.push(`${names.length} hosts but ${addresses.length} addresses in hostaddr: give one address for each host`)
  }
  if (ports.length !== 1 && ports.length !== names.length) {
    problems.push(`${names.length} hosts but ${ports.length} ports: give one port for all, or one for each host`)
  }
  return names.flatMap((name, index): DatabaseHost[] => {
    const port = (ports.length === 1 ? ports[0]! : (ports[index] ?? '')).trim() || '5432'
    const which = names.length === 1 || raw.host === undefined ? 'the port' : `the port of host ${index + 1}`
    if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) {
      const problem = `${which} is not a number from 1 to 65535 (does the user or password have a character that must be percent-encoded, such as "/" as %2F?)`
      if (!problems.includes(problem)) problems.push(problem)
    }
    if (name.startsWith('@'))
      problems.push(
        `host ${index + 1} is an abstract Unix socket, which the relay cannot use: give a folder or a host name`,
      )
    else if (/[@\s]/.test(name))
      problems.push(`host ${index + 1} has a "@" or a space in it: percent-encode the "@" of a password as %40`)
    const address = addresses?.[index]
    const host = name === '' ? undefined : name
    if (host === undefined && address === undefined)
      return DEFAULT_HOSTS.map((one) => ({ host: one, port: Number(port) }))
    if (address === undefined || address === '' || host === undefined)
      return [{ host: host ?? address!, port: Number(port) }]
    return [{ host, port: Number(port), ...(address === host ? {} : { address }) }]
  })
}

type Get = (name: string) => string | undefined
type Choice = <T extends string>(
  name: string,
  choices: readonly T[],
  aliases?: Readonly<Record<string, T>>,
) => T | undefined

function parseTls(from: {
  get: Get
  choice: Choice
  called: (name: string) => string
  readFile: (path: string) => string
  home: string
  problems: string[]
}): Pick<DatabaseTarget, 'sslMode' | 'ssl'> {
  const { get, choice, called, problems } = from
  const noVerify = get('sslmode') === 'no-verify'
  // node-postgres' own word for what libpq calls require.
  let sslMode = choice('sslmode', SSL_MODES, { 'no-verify': 'require' }) ?? 'prefer'
  // Prisma verifies only when told so, whatever the mode; then it verifies the name as well.
  const accept = choice('sslaccept', ['strict', 'accept_invalid_certs'])
  if (accept === 'strict' && sslMode !== 'disable') sslMode = 'verify-full'
  if (sslMode === 'disable') return { sslMode }

  const read = (name: string, path: string | undefined, fallback: string): string | undefined => {
    try {
      return from.readFile(path ?? `${from.home}/.postgresql/${fallback}`)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'unreadable'
      if (path !== undefined)
        problems.push(`${called(name)}: the file cannot be read (${code}): give the path of a PEM file`)
      return undefined
    }
  }
  const root = get('sslrootcert')
  const certPath = get('sslcert')
  const keyPath = get('sslkey')
  // Prisma's `sslcert` is the authority's certificate; libpq's is the client's own, which is no use without its key.
  const certIsRoot = accept !== undefined && certPath !== undefined && keyPath === undefined && root === undefined
  const verifies = sslMode !== 'allow' && sslMode !== 'prefer' && !noVerify
  if (root === 'system' && sslMode !== 'verify-full')
    problems.push(`${called('sslrootcert')}=system needs sslmode=verify-full`)
  const rootPath = certIsRoot ? certPath : root
  const ca =
    verifies && rootPath !== 'system' ? read(certIsRoot ? 'sslcert' : 'sslrootcert', rootPath, 'root.crt') : undefined
  const withoutClientCertificate = certIsRoot || choice('sslcertmode', ['disable', 'allow', 'require']) === 'disable'
  const cert = withoutClientCertificate ? undefined : read('sslcert', certPath, 'postgresql.crt')
  const key =
    withoutClientCertificate || (cert === undefined && keyPath === undefined)
      ? undefined
      : read('sslkey', keyPath, 'postgresql.key')
  if (cert !== undefined && key === undefined && keyPath === undefined) {
    problems.push(`${called('sslcert')} is given without its private key: add sslkey`)
  }
  const passphrase = get('sslpassword')
  const minVersion = choice('ssl_min_protocol_version', TLS_VERSIONS)
  const maxVersion = choice('ssl_max_protocol_version', TLS_VERSIONS)
  const ssl = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(minVersion === undefined ? {} : { minVersion }),
    ...(maxVersion === undefined ? {} : { maxVersion }),
  }
  return Object.keys(ssl).length === 0 ? { sslMode } : { sslMode, ssl }
}

function readText(path: string): string {
  return readFileSync(path, 'utf8')
}

function systemUser(): string | undefined {
  try {
    return userInfo().username
  } catch {
    // A container may run under a number that has no name.
    return undefined
  }
}
