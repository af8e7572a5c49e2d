// Generates what is not committed. Each step runs when its output is missing or older than one of its inputs.
import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * Paths are from the root; `output` is a file that the command writes anew, `run` the arguments of Node.
 *
 * @type {readonly { name: string, inputs: string[], output: string, run: string[], env?: Record<string, string> }[]}
 */
const steps = [
  {
    name: 'Prisma client of the tests and examples',
    inputs: ['prisma/schema.prisma', 'prisma/prisma.config.ts', 'node_modules/prisma/package.json'],
    output: 'prisma/generated-client/client.ts',
    run: ['node_modules/prisma/build/index.js', 'generate', '--config', 'prisma/prisma.config.ts'],
    // Generating needs no schema engine, and its download fails in a closed network.
    env: { PRISMA_SCHEMA_ENGINE_BINARY: '/bin/false', PRISMA_HIDE_UPDATE_MESSAGE: '1', CHECKPOINT_DISABLE: '1' },
  },
  {
    name: "page of the relay's console",
    inputs: [
      ...readdirSync(new URL('../relay/console/page', import.meta.url))
        .filter((name) => !name.startsWith('built'))
        .map((name) => `relay/console/page/${name}`),
      'relay/console/state.ts',
      'scripts/console-page.ts',
      'node_modules/uplot/package.json',
    ],
    output: 'relay/console/page/built/index.html',
    run: ['--import', 'tsx', 'scripts/build-console.ts'],
  },
]

/**
 * @param {{ force?: boolean }} [options] `force`: every step, also those that are up to date
 * @throws when a step fails
 */
export function generate({ force = false } = {}) {
  for (const { name, inputs, output, run, env } of steps) {
    if (!force && isNewer(output, inputs)) continue
    console.log(`generating: ${name}`)
    const { status, stdout, stderr } = spawnSync(process.execPath, run, {
      cwd: root,
      env: { ...process.env, ...env },
      encoding: 'utf8',
    })
    if (status !== 0) throw new Error(`generating failed: ${name}\n${stdout}${stderr}`)
    if (!isNewer(output, inputs)) throw new Error(`generating did not write ${output}: ${name}`)
  }
}

function isNewer(output, inputs) {
  const time = (path) => statSync(new URL(`../${path}`, import.meta.url), { throwIfNoEntry: false })?.mtimeMs
  const made = time(output)
  return made !== undefined && inputs.every((input) => (time(input) ?? 0) <= made)
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) generate({ force: true })
