import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cp, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { cacheDir, fillOnce } from './services/cache.ts'

const run = promisify(execFile)

export interface FixtureOptions {
  /** What `prepare` depends on beside the lock file; another text, another installation. */
  readonly key?: string
  /** Runs once in the new installation, say to generate code; when it fails, nothing stays. */
  readonly prepare?: (folder: string) => Promise<void>
}

/**
 * The folder of an npm project of test/fixtures that is installed from its own lock file: once, outside the tree, without
 * install scripts. Two processes at the same time do not disturb each other.
 *
 * @example
 * const folder = await installFixture('prisma-6')
 * const { PrismaClient } = await import(join(folder, 'generated/client.ts'))
 * @throws when npm or `prepare` fails; the next call tries again
 */
export async function installFixture(name: string, { key = '', prepare }: FixtureOptions = {}): Promise<string> {
  const fixture = fileURLToPath(new URL(`../fixtures/${name}/`, import.meta.url))
  const parts = [await readFile(join(fixture, 'package-lock.json')), process.version, process.arch, key]
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return fillOnce(join(cacheDir(), `${name}-${hash.digest('hex').slice(0, 12)}`), async (folder) => {
    await cp(fixture, folder, { recursive: true })
    // npm as the npm that runs us, else of the PATH.
    const npm = process.env['npm_execpath']
    const [command, args] = npm ? [process.execPath, [npm]] : ['npm', []]
    const options = { cwd: folder, timeout: 300_000, shell: !npm && process.platform === 'win32' }
    await run(command, [...args, 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], options).catch(
      (cause: unknown) => {
        const { stderr = '' } = cause as { stderr?: string }
        throw new Error(`npm could not install test/fixtures/${name}: ${stderr.slice(-500)}`, { cause })
      },
    )
    await prepare?.(folder)
  })
}
