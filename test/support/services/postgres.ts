import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFile, chmod, chown, cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { createCertificate } from './certificates.ts'
import { freePort } from './free-port.ts'
import { type PostgresVersion, postgresBinaries, type ServerUser, serverUser } from './postgres-binaries.ts'
import { type ServerProcess, ServerStartError, startServerProcess } from './server-process.ts'
import { guard } from './watchdog.ts'

export type { PostgresVersion } from './postgres-binaries.ts'

/** PostgreSQL's own words: wait for the clients (smart), cut them off (fast), or crash (immediate). */
export type StopMode = 'smart' | 'fast' | 'immediate'

export interface PostgresOptions {
  /** Major version. Default 18. */
  readonly version?: PostgresVersion
  /** Lines of postgresql.conf over the defaults below; the value as it stands after the `=`, without quotes. */
  readonly settings?: Readonly<Record<string, string>>
  /** For messages and the data folder's name. Default `main`. */
  readonly name?: string
  /** A streaming standby of this server, of the same version, over a physical slot of this name that is there already. */
  readonly standbyOf?: { readonly primary: PostgresServer; readonly slot: string }
  /** Also takes TLS connections, with a certificate of `server.ca` for 127.0.0.1 and localhost. Default false. */
  readonly tls?: boolean
}

export interface PostgresServer extends AsyncDisposable {
  readonly version: PostgresVersion
  /** Superuser, with password, database `postgres`. */
  readonly url: string
  readonly host: string
  readonly port: number
  readonly dataDir: string
  /** PEM of the authority that signed its certificate; undefined without `tls`. */
  readonly ca: string | undefined
  /** The postmaster's; undefined while it is stopped. */
  readonly pid: number | undefined
  /** Resolves when the server is down; immediately when it is already. */
  stop(mode: StopMode): Promise<void>
  /** Again, on the same port and data. `args`: more for the command line of `postgres`. */
  start(args?: readonly string[]): Promise<void>
  /** SIGKILL to the postmaster; its children notice and end. */
  kill(): Promise<void>
  /** The end of the server's log, at most 64 KiB. */
  log(): string
  /** Stops it (fast, then immediate after 5 s) and deletes its data. Safe to call twice. */
  remove(): Promise<void>
}

const DEFAULT_SETTINGS: Readonly<Record<string, string>> = {
  wal_level: 'logical',
  max_replication_slots: '40',
  max_wal_senders: '40',
  max_connections: '200',
  shared_buffers: '32MB',
  max_wal_size: '512MB',
  unix_socket_directories: '',
  listen_addresses: '127.0.0.1',
  lc_messages: 'C',
  logging_collector: 'off',
  log_destination: 'stderr',
}

const STOP_SIGNALS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const
const START_TIMEOUT_MS = 60_000

/**
 * Starts a real PostgreSQL of its own on a free loopback port, ready for logical replication, with SCRAM passwords and fsync on.
 *
 * It ends with this process, also after SIGKILL; call `remove()` when done.
 *
 * @example
 * const server = await startPostgres({ version: 15, settings: { max_slot_wal_keep_size: '16MB' } })
 * await server.stop('immediate')
 * await server.start()
 * await server.remove()
 * @throws when the version's binaries cannot be had, or the server does not start (the message ends with its log)
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const { standbyOf, version = standbyOf?.primary.version ?? 18, settings = {}, name = 'main' } = options
  const user = serverUser()
  const native = await postgresBinaries(version, user)
  const home = await mkdtemp(join(tmpdir(), `factlib-postgres-${version}-${name}-`))
  const releaseHome = guard({ kind: 'folder', path: home })
  const password = standbyOf ? new URL(standbyOf.primary.url).password : randomBytes(12).toString('hex')
  const dataDir = join(home, 'data')
  try {
    if (standbyOf) await copyPrimary(standbyOf, { home, dataDir, user })
    else await initialize({ native, home, dataDir, password, user })
    const ca = options.tls ? await writeCertificate(dataDir, user) : undefined
    const port = await freePort()
    const lines = Object.entries({ ...DEFAULT_SETTINGS, port: String(port), ...(ca ? { ssl: 'on' } : {}), ...settings })
    const quoted = lines.map(([key, value]) => `${key} = '${value.replaceAll("'", "''")}'`)
    await appendFile(join(dataDir, 'postgresql.conf'), `${quoted.join('\n')}\n`)
    const server = new LocalPostgres({ version, native, home, dataDir, password, port, user, releaseHome, ca })
    await server.start()
    return server
  } catch (error) {
    await rm(home, { recursive: true, force: true })
    releaseHome()
    throw error
  }
}

interface Cluster {
  readonly native: string
  readonly home: string
  readonly dataDir: string
  readonly password: string
  readonly user: ServerUser
}

async function initialize({ native, home, dataDir, password, user }: Cluster): Promise<void> {
  const passwordFile = join(home, 'password')
  await writeFile(passwordFile, password, { mode: 0o600 })
  await mkdir(dataDir, { mode: 0o700 })
  if (user) for (const path of [home, dataDir, passwordFile]) await chown(path, user.uid, user.gid)
  const args = ['--pgdata', dataDir, '--username', 'postgres', '--pwfile', passwordFile, '--auth', 'scram-sha-256']
  // --no-sync: only the making of the empty cluster is not flushed; the server itself runs with fsync on.
  args.push('--encoding', 'UTF8', '--locale', 'C', '--no-sync')
  await promisify(execFile)(join(native, 'bin', 'initdb'), args, { env: serverEnv(), cwd: home, ...user })
  await rm(passwordFile)
}

/**
 * What pg_basebackup does, over SQL: it is not among the binaries that we have. What is copied while it is written is
 * mended by the WAL, which the standby fetches from its slot.
 */
async function copyPrimary(
  { primary, slot }: { readonly primary: PostgresServer; readonly slot: string },
  { home, dataDir, user }: Pick<Cluster, 'home' | 'dataDir' | 'user'>,
): Promise<void> {
  const client = new pg.Client(primary.url)
  await client.connect()
  try {
    await client.query("SELECT pg_backup_start('standby', true)")
    await cp(primary.dataDir, dataDir, {
      recursive: true,
      filter: (source) =>
        !/\/(postmaster\.(pid|opts)|standby\.signal)$|\/(pg_wal|pg_replslot|pg_notify|pg_stat_tmp)\/./.test(
          source.slice(primary.dataDir.length),
        ),
    })
    await mkdir(join(dataDir, 'pg_wal', 'archive_status'), { recursive: true })
    const [label] = (await client.query('SELECT labelfile FROM pg_backup_stop(false)')).rows
    await writeFile(join(dataDir, 'backup_label'), label?.['labelfile'])
  } finally {
    await client.end()
  }
  const { hostname, port, username, password } = new URL(primary.url)
  const conninfo = `host=${hostname} port=${port} user=${username} password=${password} dbname=postgres`
  await appendFile(
    join(dataDir, 'postgresql.conf'),
    `primary_conninfo = '${conninfo}'\nprimary_slot_name = '${slot}'\n`,
  )
  await writeFile(join(dataDir, 'standby.signal'), '')
  await chmod(dataDir, 0o700)
  if (!user) return
  await chown(home, user.uid, user.gid)
  for (const entry of await readdir(dataDir, { recursive: true, withFileTypes: true }))
    await chown(join(entry.parentPath, entry.name), user.uid, user.gid)
  await chown(dataDir, user.uid, user.gid)
}

/** server.crt and server.key are the names that PostgreSQL looks for; the key must be closed to others. */
async function writeCertificate(dataDir: string, user: ServerUser): Promise<string> {
  const authority = createCertificate({ commonName: 'factlib test authority' })
  const { cert, key } = createCertificate({ commonName: 'localhost', issuer: authority })
  for (const [name, pem] of [
    ['server.crt', cert],
    ['server.key', key],
  ] as const) {
    const file = join(dataDir, name)
    await writeFile(file, pem, { mode: 0o600 })
    if (user) await chown(file, user.uid, user.gid)
  }
  return authority.cert
}

class LocalPostgres implements PostgresServer {
  readonly version: PostgresVersion
  readonly url: string
  readonly host = '127.0.0.1'
  readonly port: number
  readonly dataDir: string
  readonly ca: string | undefined
  readonly #cluster: Cluster
  readonly #releaseHome: () => void
  #process: ServerProcess | undefined

  constructor(
    cluster: Cluster & { version: PostgresVersion; port: number; releaseHome: () => void; ca: string | undefined },
  ) {
    this.version = cluster.version
    this.port = cluster.port
    this.dataDir = cluster.dataDir
    this.ca = cluster.ca
    this.url = `postgres://postgres:${cluster.password}@127.0.0.1:${cluster.port}/postgres`
    this.#cluster = cluster
    this.#releaseHome = cluster.releaseHome
  }

  get pid(): number | undefined {
    return this.#process && !this.#process.exited ? this.#process.pid : undefined
  }

  log(): string {
    return this.#process?.log() ?? ''
  }

  async start(args: readonly string[] = []): Promise<void> {
    if (this.pid !== undefined) throw new Error(`PostgreSQL ${this.version} runs already (pid ${this.pid})`)
    const deadline = Date.now() + START_TIMEOUT_MS
    for (;;) {
      try {
        this.#process = await startServerProcess({
          name: `PostgreSQL ${this.version}`,
          file: join(this.#cluster.native, 'bin', 'postgres'),
          args: ['-D', this.dataDir, ...args],
          env: serverEnv(),
          cwd: this.#cluster.home,
          user: this.#cluster.user,
          readyLine: /database system is ready to accept (read-only )?connections/,
          startTimeoutMs: START_TIMEOUT_MS,
          orphanSignal: 'SIGQUIT',
        })
        return
      } catch (error) {
        // After kill() the old backends need a moment to see that their postmaster is gone; until then they hold its memory.
        const orphans = error instanceof ServerStartError && /pre-existing shared memory block/.test(error.log)
        if (!orphans || Date.now() > deadline) throw error
      }
    }
  }

  async stop(mode: StopMode): Promise<void> {
    this.#process?.signal(STOP_SIGNALS[mode])
    await this.#process?.whenExited()
  }

  async kill(): Promise<void> {
    this.#process?.signal('SIGKILL')
    await this.#process?.whenExited()
  }

  async remove(): Promise<void> {
    const impatient = setTimeout(() => this.#process?.signal('SIGQUIT'), 5_000)
    await this.stop('fast')
    clearTimeout(impatient)
    await rm(this.#cluster.home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
    this.#releaseHome()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.remove()
  }
}

/** Nothing of the developer's environment (PGDATA, PGPORT, a locale) reaches the server. */
function serverEnv(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], TZ: 'UTC', LC_ALL: 'C' }
}
