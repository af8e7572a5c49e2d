import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cp, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { cacheDir, fillOnce } from './services/cache.ts'

const run = promisify(execFile)
const fixture = fileURLToPath(new URL('../fixtures/node24/', import.meta.url))

/**
 * The path of a Node.js 24 binary: this process's own when it is one, else `FACTLIB_NODE24`, else the one that
 * test/fixtures/node24 names, installed once by npm outside the tree.
 *
 * Never in node_modules of the package: it would come first on the PATH of every npm script.
 *
 * @example startProcess(await findNode24(), ['--import', 'tsx', 'relay/cli/main.ts', 'run'])
 * @throws when npm cannot bring it, or the binary is another version
 */
export async function findNode24(): Promise<string> {
  if (process.version.startsWith('v24.')) return process.execPath
  const given = process.env['FACTLIB_NODE24']
  const binary = given || (await installed())
  const { stdout } = await run(binary, ['--version'])
  if (!stdout.startsWith('v24.'))
    throw new Error(`${given ? 'FACTLIB_NODE24' : binary} is ${stdout.trim()}, not Node.js 24`)
  return binary
}

async function installed(): Promise<string> {
  const lock = await readFile(join(fixture, 'package-lock.json'), 'utf8')
  const version = createHash('sha256').update(lock).digest('hex').slice(0, 8)
  const folder = await fillOnce(join(cacheDir(), `node24-${version}`), async (target) => {
    await cp(fixture, target, { recursive: true })
    // npm as the npm that runs us, else of the PATH. The packages need no install script.
    const npm = process.env['npm_execpath']
    const [command, args] = npm ? [process.execPath, [npm]] : ['npm', []]
    const options = { cwd: target, timeout: 300_000, shell: !npm && process.platform === 'win32' }
    await run(command, [...args, 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], options).catch(
      (cause: unknown) => {
        const { stderr = '' } = cause as { stderr?: string }
        throw new Error(`npm could not install Node.js 24: ${stderr.slice(-500)}`, { cause })
      },
    )
  })
  const platform = process.platform === 'win32' ? 'win' : process.platform
  const name = process.platform === 'win32' ? 'node.exe' : 'node'
  return join(folder, 'node_modules', `node-${platform}-${process.arch}`, 'bin', name)
}
