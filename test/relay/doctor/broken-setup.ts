import { expect } from 'vitest'
import { doctor } from '../../../relay/cli/doctor.ts'
import { parseRelayOptions } from '../../../relay/config/settings.ts'
import type { Finding, FindingLevel } from '../../../relay/doctor/facts.ts'
import type { RelayOptions } from '../../../relay/index.ts'
import { waitFor } from '../../support/wait.ts'
import { captureTerminal } from '../cli/captured-terminal.ts'
import type { RelayBench } from '../relay-bench.ts'

/** What a broken set-up must lead to: in the doctor's words, and in what the relay does. */
export interface Expected {
  /** The finding that names the cause. */
  readonly code: string
  /** Default `problem`. */
  readonly level?: FindingLevel
  readonly what?: RegExp
  /** In the remedy: the command, setting or statement. */
  readonly remedy: RegExp
  /** The relay ends with this exit code, or waits and says so, or works. */
  readonly run: number | RegExp | 'works'
}

/** The options of this bench's relay, as `bench.relay()` has them. */
export function optionsOf(bench: RelayBench, options: Partial<RelayOptions> = {}): RelayOptions {
  return {
    prefix: bench.prefix,
    databaseUrl: bench.database.url,
    slotName: bench.slot.name,
    publicationName: bench.slot.publication,
    kafkaBrokers: [...bench.brokers],
    ...options,
  }
}

/** What the doctor says, and its exit code. */
export async function examine(
  bench: RelayBench,
  options: Partial<RelayOptions> = {},
  topics: readonly string[] = [],
): Promise<{ exitCode: number; verdict: string; findings: readonly Finding[]; output: string }> {
  const terminal = captureTerminal()
  const settings = parseRelayOptions(optionsOf(bench, options), { env: {} })
  const secrets = [settings.database.password, settings.kafka.sasl?.password].filter((one) => one !== undefined)
  const exitCode = await doctor(
    { settings, routes: options.routes ?? [], secrets, warnings: [] },
    { json: true, topics },
    terminal,
  )
  const { verdict, findings } = terminal.json<{ verdict: string; findings: Finding[] }>()
  return { exitCode, verdict, findings, output: terminal.output }
}

/** The doctor names cause and remedy, and a relay with the same settings does what RELIABILITY.md says. */
export async function expectBroken(
  bench: RelayBench,
  expected: Expected,
  options: Partial<RelayOptions> = {},
  topics: readonly string[] = [],
): Promise<string> {
  const { exitCode, findings, output } = await examine(bench, options, topics)
  const { code, level = 'problem', what = /./ } = expected
  expect(
    findings.filter((finding) => finding.level !== 'ok'),
    output,
  ).toContainEqual(
    expect.objectContaining({
      code,
      level,
      what: expect.stringMatching(what),
      why: expect.stringMatching(/./),
      remedy: expect.stringMatching(expected.remedy),
    }),
  )
  expect(exitCode).toBe(level === 'problem' ? 2 : 1)
  await expectRun(bench, expected.run, options)
  return output
}

async function expectRun(bench: RelayBench, run: Expected['run'], options: Partial<RelayOptions>): Promise<void> {
  const relay = bench.relay({ drainTimeoutMs: 200, ...options })
  const started = relay.start().then(
    () => true,
    () => false,
  )
  if (typeof run === 'number') {
    expect((await relay.whenStopped()).exitCode).toBe(run)
    return
  }
  if (run === 'works') expect(await started).toBe(true)
  else {
    const said = waitFor(() => relay.log.some((line) => run.test(line)), { what: `the relay to say ${run}` })
    await said.catch((error: Error) => {
      throw new Error(`${error.message}. It said:\n${relay.log.join('\n')}`)
    })
    expect(['failed', 'stopped'], relay.log.join('\n')).not.toContain(relay.phase)
  }
  await relay.stop()
  await bench.whenSlotFree()
}
