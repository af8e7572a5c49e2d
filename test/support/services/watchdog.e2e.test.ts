import { existsSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { startNode } from '../process.ts'
import { waitFor } from '../wait.ts'

test.each(['SIGKILL', 'SIGTERM'] as const)('no server and no data outlive their parent after %s', async (signal) => {
  const before = orphanFolders()
  const parent = startNode('test/support/services/orphan.ts')
  const { pids, folders } = JSON.parse(await parent.whenLine('pids', 60_000)) as { pids: number[]; folders: string[] }
  expect(pids.map(isAlive)).toEqual([true, true])
  const ours = orphanFolders().filter((folder) => !before.includes(folder))
  expect(ours).toHaveLength(2)
  // To the parent alone, not to its group: the servers must be ended by the watchdog.
  parent.signal(signal)
  await waitFor(() => !pids.some(isAlive), { what: 'both servers to be gone' })
  await waitFor(() => ![...folders, ...ours].some((folder) => existsSync(folder)), { what: 'their data to be gone' })
})

function orphanFolders(): string[] {
  return readdirSync(tmpdir())
    .filter((name) => /^factlib-(postgres-18|kafka)-orphan-/.test(name))
    .map((name) => `${tmpdir()}/${name}`)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
