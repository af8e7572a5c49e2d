import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/**
 * The folder outside the tree where downloads are kept: `FACTLIB_CACHE_DIR`, else the cache folder of this user.
 *
 * Root's own home is closed to other users, and PostgreSQL refuses to run as root; so root's default is the system's cache.
 *
 * @example cacheDir() // '/home/ada/.cache/factlib'
 */
export function cacheDir(): string {
  const { FACTLIB_CACHE_DIR, XDG_CACHE_HOME, LOCALAPPDATA } = process.env
  if (FACTLIB_CACHE_DIR) return FACTLIB_CACHE_DIR
  if (XDG_CACHE_HOME) return join(XDG_CACHE_HOME, 'factlib')
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'factlib')
  if (process.platform === 'win32') return join(LOCALAPPDATA ?? tmpdir(), 'factlib')
  return process.getuid?.() === 0 ? '/var/cache/factlib' : join(homedir(), '.cache', 'factlib')
}

/**
 * Fills a folder once, also when several processes try at the same time, and returns its path.
 *
 * `fill` gets an empty folder beside the final one, which is renamed when complete: a half-filled folder is never seen.
 *
 * @example await fillOnce(join(cacheDir(), 'kafka-4.1.1'), async (folder) => { await download(folder) })
 * @throws what `fill` throws; the folder is then absent
 */
export async function fillOnce(target: string, fill: (folder: string) => Promise<void>): Promise<string> {
  if (existsSync(target)) return target
  await mkdir(dirname(target), { recursive: true, mode: 0o755 })
  const folder = await mkdtemp(`${target}.tmp-`)
  try {
    await fill(folder)
    await rename(folder, target).catch((error: unknown) => {
      // Another process was faster: its folder is as good as ours.
      if (!existsSync(target)) throw error
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  return target
}
