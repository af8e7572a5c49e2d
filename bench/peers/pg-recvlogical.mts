// PostgreSQL's own client, to /dev/null: what the server's side of the reading costs, with nothing behind it.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Backlog } from '../relay/backlog.mts'
import type { ContestantResult } from '../relay/span.mts'
import { findPgRecvlogical } from '../rounds.mts'
import { peakMegabytesOf } from './outside.mts'

/** From its start to its exit; its CPU by the shell that waits for it. */
export async function runPgRecvlogical(from: Backlog, slot: string): Promise<ContestantResult> {
  const binary = findPgRecvlogical()
  if (!binary)
    throw new Error(
      'pg_recvlogical is not installed: Debian has it in postgresql-client-15, or name it in PG_RECVLOGICAL',
    )
  const args = ['--dbname', from.url, '--slot', slot, '--start', '--no-loop', '--file', '/dev/null']
  args.push(
    '--option',
    'proto_version=1',
    '--option',
    `publication_names=${from.publication}`,
    '--option',
    'messages=true',
  )
  args.push('--endpos', from.endLsn)
  const shell = spawn('bash', ['-c', 'TIMEFORMAT="%R %U %S"; time "$0" "$@"', binary, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  shell.stderr.on('data', (text: Buffer) => {
    said += text.toString()
  })
  let rssMegabytes = 0
  const watch = setInterval(() => {
    rssMegabytes = Math.max(rssMegabytes, childPeakMegabytes(shell.pid as number))
  }, 100)
  const code = await new Promise((resolve) => shell.once('close', resolve))
  clearInterval(watch)
  const times = said.trim().split('\n').at(-1)?.split(' ').map(Number) ?? []
  const [seconds = Number.NaN, user = Number.NaN, system = Number.NaN] = times
  if (code !== 0 || Number.isNaN(system))
    throw new Error(`pg_recvlogical ended with ${String(code)}: ${said.slice(-300)}`)
  return { seconds, cpuMicrosPerFact: ((user + system) * 1e6) / from.shape.facts, rssMegabytes }
}

function childPeakMegabytes(parent: number): number {
  try {
    const [child] = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(' ')
    return peakMegabytesOf(Number(child)) || 0
  } catch {
    return 0
  }
}
