// What the scripts of this folder share: rounds in shuffled order, medians, ratios paired within a round, the machine.
import { execFile } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export const root = fileURLToPath(new URL('..', import.meta.url))

export function shuffled<T>(list: readonly T[]): T[] {
  return list
    .map((one) => ({ one, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ one }) => one)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  if (sorted.length % 2 === 1) return sorted[middle] as number
  return sorted.length === 0 ? Number.NaN : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

/** Median of `one / other`, each pair from the same round. */
export function pairedRatio(one: readonly number[], other: readonly number[]): number {
  return median(one.map((value, round) => value / (other[round] ?? Number.NaN)))
}

/** `Intel Xeon …, 2 cores, 24 GB, Linux, 2026-01-31`: a figure without it says nothing. */
export function machine(): string {
  const [cpu] = cpus()
  const gigabytes = Math.round(totalmem() / 2 ** 30)
  return `${cpu?.model.trim() || process.arch}, ${cpus().length} cores, ${gigabytes} GB, ${process.platform}, ${new Date().toISOString().slice(0, 10)}`
}

export function load(): string {
  return loadavg()
    .map((value) => value.toFixed(1))
    .join(' ')
}

export function writeJson(file: string | undefined, content: object): void {
  if (file) writeFileSync(file, `${JSON.stringify({ machine: machine(), ...content }, undefined, 2)}\n`)
}

/** How this was run, without the file that it writes: that is a path of one machine. */
export function commandLine(script: string): string {
  const args = process.argv.slice(2)
  const at = args.indexOf('--json')
  if (at >= 0) args.splice(at, 2)
  return ['npx tsx', script, ...args].join(' ')
}

/** Builds the package as it is published, and a script of this folder, beside the tree's own `dist`. */
export async function buildForBench(
  script: string,
): Promise<{ readonly relayModule: string; readonly script: string }> {
  // Of this process alone: building empties the folder.
  const folder = `${root}node_modules/.cache/factlib-bench-${process.pid}`
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const tsup = (args: readonly string[]) =>
    promisify(execFile)(process.execPath, [`${root}node_modules/tsup/dist/cli-default.js`, ...args], {
      cwd: root,
      env: { ...process.env, FACTLIB_BUILD_DIR: folder },
    })
  await tsup(['--no-dts'])
  const own = `${folder}/bench`
  await tsup(['--no-config', script, '--format', 'esm', '--target', 'node20', '--out-dir', own, '--no-splitting'])
  return { relayModule: `${folder}/relay.js`, script: `${own}/${basename(script, '.mts')}.js` }
}

/** PostgreSQL's own client: `PG_RECVLOGICAL`, beside the launcher's server, or Debian's; undefined where there is none. */
export function findPgRecvlogical(): string | undefined {
  const places = [
    process.env['PG_RECVLOGICAL'],
    ...[18, 17, 16, 15, 14].map((version) => `/usr/lib/postgresql/${version}/bin/pg_recvlogical`),
  ]
  return places.find((place) => place && existsSync(place))
}
