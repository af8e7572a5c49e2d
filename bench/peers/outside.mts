// Measures a program that does not measure itself, from outside: Kafka's own ends and clock, and the kernel's account of
// its process. All by the same rules: the span is from the first record in Kafka to the last, CPU is of that span.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { guard } from '../../test/support/services/watchdog.ts'
import { openEnds, secondsInKafka } from '../relay/kafka-ends.mts'
import type { ContestantResult } from '../relay/span.mts'

export interface Outside {
  readonly name: string
  readonly brokers: readonly string[]
  /** Where its records go, with the broker's time (TOPIC_CONFIG). */
  readonly topics: readonly string[]
  readonly facts: number
  /** Default 600,000. */
  readonly timeoutMs?: number
  /** Brings it to work; resolves when it does. */
  start(): Promise<{ readonly pid: number }>
  /** Asked at each look: throws when it has failed. */
  check?(): Promise<void> | void
}

/** Often enough for the CPU at the first record, seldom enough to cost next to nothing. */
const LOOK_MS = 50
/** Linux counts in hundredths on every machine that Node.js runs on. */
const TICKS_A_SECOND = 100

/** @throws when it has failed, or Kafka has too few records in time, or too many */
export async function measureOutside(outside: Outside): Promise<ContestantResult> {
  const { name, facts, timeoutMs = 600_000 } = outside
  const ends = await openEnds(outside.brokers, outside.topics)
  try {
    const before = await ends.records()
    const sinceMs = Date.now()
    const { pid } = await outside.start()
    let first: { readonly records: number; readonly cpuSeconds: number } | undefined
    let records = 0
    // Of the last look at which there was a process: one that has done its work may end by itself.
    let cpuSecondsNow = Number.NaN
    let rssMegabytes = Number.NaN
    while (records < facts) {
      await outside.check?.()
      records = (await ends.records()) - before
      cpuSecondsNow = cpuSecondsOf(pid) || cpuSecondsNow
      rssMegabytes = peakMegabytesOf(pid) || rssMegabytes
      if (records > 0) first ??= { records, cpuSeconds: cpuSecondsNow }
      if (Date.now() - sinceMs > timeoutMs) throw new Error(`${name} wrote ${records} of ${facts} records in time`)
      if (records < facts) await delay(LOOK_MS)
    }
    const cpuSeconds = cpuSecondsNow - (first?.cpuSeconds ?? Number.NaN)
    if (records !== facts) throw new Error(`${name} wrote ${records} records, not ${facts}`)
    const seconds = await secondsInKafka(ends, sinceMs)
    // What was there at the first look has no CPU in the account.
    const counted = facts - (first?.records ?? 0)
    const cpuMicrosPerFact = counted > 0 ? (cpuSeconds * 1e6) / counted : Number.NaN
    return { seconds, kafkaSeconds: seconds, cpuMicrosPerFact, rssMegabytes }
  } finally {
    await ends.close()
  }
}

export interface Peer {
  readonly pid: number
  /** Throws when it has ended, with the end of what it said. */
  check(): void
  /** SIGTERM, and after 10 s SIGKILL. */
  stop(): Promise<void>
}

/** Starts a peer's process; it ends with this one, also after SIGKILL. */
export async function startPeer(
  command: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Promise<Peer> {
  const child = spawn(command, [...args], { stdio: ['ignore', 'pipe', 'pipe'], ...options })
  if (child.pid === undefined) {
    const [error] = (await once(child, 'error')) as [Error]
    throw error
  }
  child.on('error', () => {})
  const { pid } = child
  const release = guard({ kind: 'process', pid, signal: 'SIGKILL' })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text: Buffer) => {
      said = (said + text.toString()).slice(-2_000)
    })
  const exited = once(child, 'exit').finally(release)
  const hasExited = () => child.exitCode !== null || child.signalCode !== null
  return {
    pid,
    check() {
      if (hasExited()) throw new Error(`it ended (${child.exitCode ?? child.signalCode}): ${said.trim()}`)
    },
    async stop() {
      if (!hasExited()) child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await exited
      clearTimeout(timer)
    },
  }
}

/** User and system, all threads; NaN where there is no /proc. */
export function cpuSecondsOf(pid: number): number {
  // After the name in parentheses, which may hold anything.
  const fields = read(`/proc/${pid}/stat`).split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[11] ?? Number.NaN) + Number(fields[12] ?? Number.NaN)) / TICKS_A_SECOND
}

export function peakMegabytesOf(pid: number): number {
  const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(read(`/proc/${pid}/status`)) ?? []
  return Math.round(Number(kilobytes ?? Number.NaN) / 1024)
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
