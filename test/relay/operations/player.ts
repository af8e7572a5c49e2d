import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { registerCleanup } from '../../support/cleanup.ts'
import { ROOT, startProcess, type TestProcess } from '../../support/process.ts'
import { findDifference, type GuideBlock, type GuideStep, INTERRUPT, linePattern, readGuide } from './guide.ts'

// Runs blocks of the guide as they stand there, in a shell, and compares what they print. `factlib-relay` is the command
// itself, from its source; psql and curl are stood in for (operator-tools.mjs).

/** A block may start the relay, ask Kafka and PostgreSQL, and the machine may be busy. */
const COMMAND_MS = 60_000

export interface PlayerOptions {
  readonly env: Readonly<Record<string, string>>
  /** What the guide says → what it is here, in commands; in what is printed the other way round. */
  readonly names?: Readonly<Record<string, string>>
}

export interface Player {
  /** Runs a block. @throws with both texts where what is printed differs from the guide */
  play(block: string, more?: PlayerOptions): Promise<void>
  /** `factlib-relay run` as a supervisor would have it, in the same surroundings. */
  startRelay(env?: Readonly<Record<string, string>>): TestProcess
}

export async function createPlayer(options: PlayerOptions): Promise<Player> {
  const blocks = readGuide()
  const folder = await mkdtemp(join(tmpdir(), 'factlib-guide-'))
  registerCleanup(() => rm(folder, { recursive: true, force: true }))
  await writePrograms(join(folder, 'bin'))
  const surroundings = (env: Readonly<Record<string, string>>) => ({
    // Not the root of the package: a developer's .env is there.
    cwd: folder,
    env: {
      HTTP_HOST: '127.0.0.1',
      WAL_HEALTH_PORT: '0',
      METRICS_PORT: '0',
      ...options.env,
      ...env,
      PATH: `${join(folder, 'bin')}:${process.env['PATH']}`,
    },
  })
  return {
    async play(name, more) {
      const block = blocks.find((one) => one.name === name)
      if (!block) throw new Error(`docs/operations.md has no block run=${name}`)
      const names = Object.entries({ ...options.names, ...more?.names })
      for (const step of block.steps) await playStep(block, step, names, surroundings(more?.env ?? {}))
    },
    startRelay: (env = {}) => startProcess('factlib-relay', ['run'], surroundings(env)),
  }
}

async function playStep(
  block: GuideBlock,
  { command, expected, line }: GuideStep,
  names: readonly (readonly [string, string])[],
  surroundings: NonNullable<Parameters<typeof startProcess>[2]>,
): Promise<void> {
  const real = names.reduce((text, [inGuide, here]) => text.replaceAll(inGuide, here), command)
  const child = startProcess('sh', ['-c', `exec 2>&1\n${real}`], surroundings)
  const toGuide = (text: string) => names.reduce((done, [inGuide, here]) => done.replaceAll(here, inGuide), text)
  const interrupted = expected.indexOf(INTERRUPT)
  if (interrupted >= 0) {
    for (const wanted of expected.slice(0, interrupted))
      if (wanted !== '…') {
        const pattern = linePattern(wanted)
        await child.whenLine((text) => pattern.test(toGuide(text)), COMMAND_MS)
      }
    // As a terminal does: the shell and what it runs.
    process.kill(-child.pid, 'SIGINT')
  }
  await child.whenExited(COMMAND_MS)
  const printed = toGuide(child.output()).replace(/\n$/, '')
  const difference = findDifference(
    expected.map((one) => (one === INTERRUPT ? '…' : one)),
    printed === '' ? [] : printed.split('\n').map((one) => one.trimEnd()),
  )
  if (difference !== undefined)
    throw new Error(
      `docs/operations.md, run=${block.name}, line ${line}: $ ${command}\n${difference}\n--- the guide ---\n${expected.join('\n')}\n--- printed ---\n${printed}\n---`,
    )
}

async function writePrograms(bin: string): Promise<void> {
  const tsx = import.meta.resolve('tsx')
  const tools = fileURLToPath(new URL('./operator-tools.mjs', import.meta.url))
  const programs = {
    'factlib-relay': `--import '${tsx}' '${join(ROOT, 'relay/cli/main.ts')}'`,
    psql: `'${tools}' psql`,
    curl: `'${tools}' curl`,
  }
  await mkdir(bin)
  for (const [name, args] of Object.entries(programs)) {
    await writeFile(join(bin, name), `#!/bin/sh\nexec '${process.execPath}' ${args} "$@"\n`)
    await chmod(join(bin, name), 0o755)
  }
}
