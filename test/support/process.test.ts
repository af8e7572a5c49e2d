import { expect, test } from 'vitest'
import { startProcess } from './process.ts'
import { waitFor } from './wait.ts'

function startScript(script: string, env: Record<string, string> = {}): ReturnType<typeof startProcess> {
  return startProcess(process.execPath, ['-e', script], { env })
}

test('waits for a line, sends a signal, tells how it ended', async () => {
  const child = startScript(
    `process.on('SIGTERM', () => process.exit(7)); setInterval(() => {}, 1000); console.log('port 42')`,
  )
  expect(await child.whenLine(/port (\d+)/)).toBe('port 42')
  child.signal('SIGTERM')
  expect(await child.whenExited()).toEqual({ code: 7, signal: null })
})

test('says what it wrote when it exits before the line', async () => {
  const child = startScript(`console.error('no such slot'); process.exitCode = 3`)
  await expect(child.whenLine('ready')).rejects.toThrow(
    /exited \(3\) and did not write a line like ready[\s\S]*no such slot/,
  )
})

test('kills the processes that it started, too', async () => {
  const child = startScript(
    `const { spawn } = require('node:child_process'); console.log('child ' + spawn('sleep', ['1000']).pid); setInterval(() => {}, 1000)`,
  )
  const pid = Number((await child.whenLine('child ')).split(' ')[1])
  expect(await child.kill()).toEqual({ code: null, signal: 'SIGKILL' })
  await waitFor(() => !isAlive(pid), { what: 'the child of the child to be gone' })
})

test('sees its own variables and none of the shell that may lead it astray', async () => {
  process.env['DATABASE_URL'] = 'postgres://elsewhere'
  process.env['PGHOST'] = 'elsewhere'
  const child = startScript(
    `console.log([process.env.DATABASE_URL, process.env.PGHOST, process.env.WAL_PREFIX].join())`,
    {
      WAL_PREFIX: 'shop',
    },
  )
  await child.whenExited()
  expect(child.output()).toBe(',,shop\n')
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
