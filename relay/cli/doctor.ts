import type { RelayConfiguration } from '../config/settings.ts'
import { diagnose } from '../doctor/doctor.ts'
import type { Finding, FindingLevel } from '../doctor/facts.ts'
import { createRedactor } from '../ops/logger.ts'
import { COMMAND_EXIT } from './cli-error.ts'
import { jsonLine, printable, type Terminal } from './terminal.ts'

export interface DoctorCommandOptions {
  readonly json?: boolean
  /** What is in order is left out. */
  readonly quiet?: boolean
  readonly topics?: readonly string[]
  /** Default 1,000. */
  readonly peekMessages?: number
}

const DEFAULT_PEEK_MESSAGES = 1_000
const TITLES: Readonly<Record<Finding['area'], string>> = {
  postgres: 'PostgreSQL',
  slot: 'Publication and slot',
  kafka: 'Kafka',
  topics: 'Topics',
  clock: 'Clocks',
}

/** `factlib-relay doctor`: exit code 0, 1 with warnings, 2 when the relay cannot work. */
export async function doctor(
  { settings, routes, secrets, warnings }: Pick<RelayConfiguration, 'settings' | 'routes' | 'secrets' | 'warnings'>,
  options: DoctorCommandOptions,
  terminal: Terminal,
): Promise<number> {
  const found = await diagnose(settings, routes, {
    topics: options.topics ?? [],
    peekMessages: options.peekMessages ?? DEFAULT_PEEK_MESSAGES,
  })
  // Drivers' words are in there: whatever they hold, no secret leaves.
  const { text } = createRedactor(secrets)
  const findings = found.map((finding) => ({
    ...finding,
    what: text(finding.what),
    ...(finding.remedy === undefined ? {} : { remedy: text(finding.remedy) }),
  }))
  const count = (level: FindingLevel) => findings.filter((finding) => finding.level === level).length
  const exitCode =
    count('problem') > 0 ? COMMAND_EXIT.unusable : count('warning') > 0 ? COMMAND_EXIT.failed : COMMAND_EXIT.done
  if (options.json)
    terminal.write(
      jsonLine({
        verdict: (['works', 'warnings', 'cannot work'] as const)[exitCode],
        problems: count('problem'),
        warnings: count('warning'),
        findings,
      }),
    )
  else print(findings, { exitCode, quiet: options.quiet === true, warnings }, terminal)
  return exitCode
}

function print(
  findings: readonly Finding[],
  options: { readonly exitCode: number; readonly quiet: boolean; readonly warnings: readonly string[] },
  { write, paint }: Terminal,
): void {
  const marks: Readonly<Record<FindingLevel, string>> = {
    ok: paint.green('✓'),
    unknown: paint.dim('?'),
    warning: paint.yellow('!'),
    problem: paint.red('✗'),
  }
  for (const warning of options.warnings) write(`${marks.warning} settings: ${warning}\n`)
  for (const [area, title] of Object.entries(TITLES)) {
    const own = findings.filter((finding) => finding.area === area && !(options.quiet && finding.level === 'ok'))
    if (own.length === 0) continue
    write(`${paint.bold(title)}\n`)
    for (const { level, code, what, why, remedy } of own) {
      const line = printable(what, 1_000)
      write(`  ${marks[level]} ${level === 'ok' ? line : `${line} ${paint.dim(`[${code}]`)}`}\n`)
      if (why !== undefined) write(`      ${paint.dim(why)}\n`)
      if (remedy !== undefined) write(`      → ${remedy}\n`)
    }
  }
  write(
    `\n${[paint.green('The relay can work.'), paint.yellow('The relay can work; somebody should look at the warnings.'), paint.red('The relay cannot work like this.')][options.exitCode]}\n`,
  )
}
