// Makes a fresh clone ready, with plain Node: installs what package-lock.json asks for when it is not there, then generates.
// `npm test`, `npm run check`, `npm run demo` and `.ci/run` begin with it, so that no other command is needed before them.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * @throws when the installation fails; npm has then said why on standard error
 */
export async function ensureInstalled() {
  const missing = firstMissingPackage()
  if (missing) {
    console.log(`installing the dependencies (${missing})`)
    // npm of the npm that runs us, else of the path. No install script is needed (package.json, allowScripts).
    const npm = process.env.npm_execpath
    const [command, args] = npm ? [process.execPath, [npm]] : ['npm', []]
    const options = { cwd: root, stdio: 'inherit', shell: !npm && process.platform === 'win32' }
    const { status, error } = spawnSync(
      command,
      [...args, 'ci', '--ignore-scripts', '--no-audit', '--no-fund'],
      options,
    )
    if (error) throw error
    if (status !== 0) throw new Error('`npm ci` failed: see above. Does npm reach its registry?')
  }
  const { generate } = await import('./generate.mjs')
  generate()
}

/** What of package-lock.json is absent or of another version in node_modules; undefined: nothing. */
function firstMissingPackage() {
  const wanted = readLock('package-lock.json')
  const found = readLock('node_modules/.package-lock.json')
  if (!found) return 'node_modules is missing'
  for (const [path, { version, optional }] of Object.entries(wanted)) {
    if (path === '') continue
    if (found[path] ? found[path].version !== version : !optional) return `${path} ${version} is missing`
  }
  return undefined
}

/** @returns {Record<string, { version?: string, optional?: boolean }> | undefined} */
function readLock(path) {
  try {
    return JSON.parse(readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')).packages
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await ensureInstalled()
