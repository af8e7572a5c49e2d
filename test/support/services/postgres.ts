import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFile, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
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
  /** Again, on the same port and data. */
  start(): Promise<void>
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
  const { version = 18, settings = {}, name = 'main' } = options
  const user = serverUser()
  const native = await postgresBinaries(version, user)
  const home = await mkdtemp(join(tmpdir(), `factlib-postgres-${version}-${name}-`))
  const releaseHome = guard({ kind: 'folder', path: home })
  const password = randomBytes(12).toString('hex')
  const dataDir = join(home, 'data')
  try {
    await initialize({ native, home, dataDir, password, user })
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

  async start(): Promise<void> {
    if (this.pid !== undefined) throw new Error(`PostgreSQL ${this.version} runs already (pid ${this.pid})`)
    const deadline = Date.now() + START_TIMEOUT_MS
    for (;;) {
      try {
        this.#process = await startServerProcess({
          name: `PostgreSQL ${this.version}`,
          file: join(this.#cluster.native, 'bin', 'postgres'),
          args: ['-D', this.dataDir],
          env: serverEnv(),
          cwd: this.#cluster.home,
          user: this.#cluster.user,
          readyLine: /database system is ready to accept connections/,
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
