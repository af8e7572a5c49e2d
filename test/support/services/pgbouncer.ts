import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from './free-port.ts'
import { serverUser } from './postgres-binaries.ts'
import { startServerProcess } from './server-process.ts'
import { guard } from './watchdog.ts'

const run = promisify(execFile)

export interface PgBouncerOptions {
  /** Superuser's URL of the PostgreSQL behind it. */
  readonly postgresUrl: string
  /** Connections to PostgreSQL for each database. Default 3: fewer than any client pool, so that they are passed around. */
  readonly poolSize?: number
}

export interface PgBouncer extends AsyncDisposable {
  /** The URL of this database through PgBouncer. */
  urlOf(database: string): string
  remove(): Promise<void>
}

/**
 * Starts PgBouncer in transaction mode on a free loopback port, in front of a PostgreSQL; it ends with this process.
 *
 * @example
 * const bouncer = await startPgBouncer({ postgresUrl: inject('postgresUrl') })
 * const pool = new pg.Pool({ connectionString: bouncer.urlOf(database.name) })
 * @throws when PgBouncer is not there and cannot be installed; the message says what to do
 */
export async function startPgBouncer({ postgresUrl, poolSize = 3 }: PgBouncerOptions): Promise<PgBouncer> {
  const file = await pgBouncerBinary()
  const user = serverUser()
  const { hostname, port, username, password } = new URL(postgresUrl)
  const home = await mkdtemp(join(tmpdir(), 'factlib-pgbouncer-'))
  const releaseHome = guard({ kind: 'folder', path: home })
  const listenPort = await freePort()
  const config = join(home, 'pgbouncer.ini')
  const users = join(home, 'users.txt')
  try {
    const lines = [
      '[databases]',
      `* = host=${hostname} port=${port || 5432}`,
      '[pgbouncer]',
      'listen_addr = 127.0.0.1',
      `listen_port = ${listenPort}`,
      'unix_socket_dir =',
      'auth_type = scram-sha-256',
      `auth_file = ${users}`,
      'pool_mode = transaction',
      `default_pool_size = ${poolSize}`,
      'max_client_conn = 200',
      'ignore_startup_parameters = extra_float_digits',
    ]
    await writeFile(config, `${lines.join('\n')}\n`)
    await writeFile(users, `"${username}" "${decodeURIComponent(password)}"\n`, { mode: 0o600 })
    if (user) for (const path of [home, config, users]) await chown(path, user.uid, user.gid)
    const server = await startServerProcess({
      name: 'PgBouncer',
      file,
      args: [config],
      env: { PATH: process.env['PATH'], TZ: 'UTC', LC_ALL: 'C' },
      cwd: home,
      user,
      readyLine: /process up: PgBouncer/,
      startTimeoutMs: 30_000,
      orphanSignal: 'SIGQUIT',
    })
    const remove = async (): Promise<void> => {
      server.signal('SIGTERM')
      await server.whenExited()
      await rm(home, { recursive: true, force: true })
      releaseHome()
    }
    return {
      urlOf: (database) => `postgres://${username}:${password}@127.0.0.1:${listenPort}/${database}`,
      remove,
      [Symbol.asyncDispose]: remove,
    }
  } catch (error) {
    await rm(home, { recursive: true, force: true })
    releaseHome()
    throw error
  }
}

/** `FACTLIB_TEST_PGBOUNCER`, else the one of the system; a Debian that runs us as root gets the package. */
async function pgBouncerBinary(): Promise<string> {
  const given = process.env['FACTLIB_TEST_PGBOUNCER']
  if (given) return given
  const found = find('pgbouncer')
  if (found !== undefined) return found
  if (process.getuid?.() === 0 && find('apt-get') !== undefined) {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    const install = () => run('apt-get', ['install', '-y', '--no-install-recommends', 'pgbouncer'], { env })
    await install().catch(async () => {
      await run('apt-get', ['update'], { env })
      await install()
    })
    const installed = find('pgbouncer')
    // The package starts a service of its own; ours is another one, on another port.
    if (installed !== undefined) return installed
  }
  throw new Error(
    'PgBouncer is not installed: apt-get install pgbouncer, brew install pgbouncer, or set FACTLIB_TEST_PGBOUNCER to its path',
  )
}

function find(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/usr/bin']
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path))
}
