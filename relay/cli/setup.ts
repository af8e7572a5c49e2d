import pg from 'pg'
import { parseDatabaseUrl } from '../config/database-url.ts'
import { connectPostgres, describeError, type PostgresConnection } from '../doctor/postgres-connection.ts'
import { EMPTY_STATE, planSetup, type SetupPlan, type SetupState, type SetupStep } from '../setup/plan.ts'
import { readSetupState } from '../setup/probe.ts'
import { isProvider, PROVIDER, PROVIDERS, type ProviderName } from '../setup/providers.ts'
import { scramVerifier } from '../setup/scram.ts'
import type { DatabaseTarget, RelaySettings } from '../types.ts'
import { CliError, COMMAND_EXIT } from './cli-error.ts'
import { jsonLine, type Terminal } from './terminal.ts'

export interface SetupCommandOptions {
  readonly provider?: string
  readonly dryRun?: boolean
  readonly json?: boolean
  /** Of whoever may give rights; absent: the relay's own role does what it may. */
  readonly adminUrl?: string
  /** No database is known: a dry run prints everything then. */
  readonly withoutDatabase?: boolean
}

interface StepOutcome {
  readonly step: SetupStep
  readonly outcome: 'there' | 'done' | 'skipped' | 'planned'
  readonly reason?: string
}

/** `factlib-relay setup`: publication, slot, role and rights; what is there already stays as it is. */
export async function setup(
  settings: RelaySettings,
  options: SetupCommandOptions,
  terminal: Terminal,
): Promise<number> {
  const provider = options.provider ?? 'self'
  if (!isProvider(provider))
    throw new CliError(`--provider must be one of ${PROVIDERS.join(', ')}, but is "${provider}"`, {
      exitCode: COMMAND_EXIT.unusable,
    })
  const { database, slot, publication } = settings
  const planOptions = {
    slot,
    publication,
    provider,
    role: database.user,
    failover: settings.slotFailover,
    passwordVerifier: database.password === undefined ? undefined : scramVerifier(database.password),
  }
  const connection = await connectUnlessDry(settings, options, terminal)
  try {
    const state = connection
      ? await readSetupState(connection.query, { slot, publication, role: database.user })
      : { ...EMPTY_STATE, database: options.withoutDatabase ? '' : database.database }
    const plan = planSetup(state, planOptions)
    if (options.dryRun) return printPlan(plan, state, { provider, json: options.json === true }, terminal)
    if (plan.obstacles.length > 0) return printObstacles(plan, options.json === true, terminal)
    const outcomes: StepOutcome[] = []
    for (const step of plan.steps) {
      const outcome = await runStep(connection as PostgresConnection, step)
      outcomes.push(outcome)
      if (!options.json) printOutcome(outcome, terminal)
    }
    const done = outcomes.filter(({ outcome }) => outcome === 'done').length
    if (options.json) terminal.write(jsonLine({ ok: true, done, steps: outcomes.map(toJson), obstacles: [] }))
    else
      terminal.write(
        done === 0
          ? '\nNothing to do: the relay can start.\n'
          : '\nThe relay can start. Facts that are emitted from now on are in the slot: start it soon, because PostgreSQL keeps WAL for it.\n',
      )
    return COMMAND_EXIT.done
  } finally {
    await connection?.close()
  }
}

async function connectUnlessDry(
  settings: RelaySettings,
  options: SetupCommandOptions,
  terminal: Terminal,
): Promise<PostgresConnection | undefined> {
  if (options.dryRun && options.withoutDatabase) return undefined
  const target = options.adminUrl === undefined ? settings.database : adminTarget(options.adminUrl, settings.database)
  try {
    return await connectPostgres(target)
  } catch (error) {
    if (!options.dryRun)
      throw new CliError(
        `cannot connect to PostgreSQL as "${target.user}": ${describeError(error)}${connectRemedy(error, target)}`,
        { cause: error },
      )
    terminal.note(`Not connected (${describeError(error)}): this is the SQL for a server that has nothing of it.\n`)
    return undefined
  }
}

export function connectRemedy(error: unknown, { database }: Pick<DatabaseTarget, 'database'>): string {
  if ((error as { code?: unknown }).code !== '3D000') return ''
  return `: create it (CREATE DATABASE ${pg.escapeIdentifier(database)}), or mend its name in MASTER_DATABASE_URL`
}

/** The administrator's own server and user, but the relay's database: slot and publication belong to one. */
function adminTarget(url: string, database: DatabaseTarget): DatabaseTarget {
  return { ...parseDatabaseUrl(url), database: database.database, applicationName: 'factlib-relay setup' }
}

async function runStep({ query }: PostgresConnection, step: SetupStep): Promise<StepOutcome> {
  if (step.there) return { step, outcome: 'there' }
  for (const sql of step.sql) {
    try {
      await query(sql)
    } catch (error) {
      const { code } = error as { code?: unknown }
      // Somebody else was faster: 42710 duplicate_object, 23505 unique_violation.
      if (code === '42710' || code === '23505') continue
      if (step.optional !== undefined)
        return { step, outcome: 'skipped', reason: `${describeError(error)}; ${step.optional}` }
      throw new CliError(`${step.what}: ${describeError(error)}. The statement: ${(step.shown ?? step.sql)[0]}`, {
        cause: error,
      })
    }
  }
  return { step, outcome: 'done' }
}

const MARKS = { there: '=', done: '+', skipped: '!', planned: '-' } as const

function printOutcome({ step, outcome, reason }: StepOutcome, { write, paint }: Terminal): void {
  const colour = outcome === 'done' ? paint.green : outcome === 'skipped' ? paint.yellow : paint.dim
  const words = { there: 'was there', done: 'done', skipped: 'left out', planned: 'to do' }[outcome]
  write(`${colour(`${MARKS[outcome]} ${step.what}: ${words}`)}${reason === undefined ? '' : ` (${reason})`}\n`)
}

function toJson({ step, outcome, reason }: StepOutcome) {
  return {
    what: step.what,
    outcome,
    sql: step.shown ?? step.sql,
    optional: step.optional !== undefined,
    reason: reason ?? null,
  }
}

function printObstacles(plan: SetupPlan, json: boolean, { write, note, paint }: Terminal): number {
  if (json) write(jsonLine({ ok: false, done: 0, steps: [], obstacles: plan.obstacles }))
  else note(`Nothing was changed:\n${plan.obstacles.map((line) => `${paint.red('✗')} ${line}\n`).join('')}`)
  return COMMAND_EXIT.failed
}

function printPlan(
  plan: SetupPlan,
  state: SetupState,
  { provider, json }: { readonly provider: ProviderName; readonly json: boolean },
  { write }: Terminal,
): number {
  const { title, before, notes, impossible } = PROVIDER[provider]
  if (json) {
    const steps = plan.steps.map((step) => toJson({ step, outcome: step.there ? 'there' : 'planned' }))
    write(
      jsonLine({ ok: plan.obstacles.length === 0, done: 0, provider, before, notes, steps, obstacles: plan.obstacles }),
    )
    return COMMAND_EXIT.done
  }
  const comment = (text: string) => `-- ${text.replaceAll('\n', '\n--   ')}\n`
  write(comment(title))
  if (impossible !== undefined) {
    write(comment(impossible))
    return COMMAND_EXIT.done
  }
  write(comment(''))
  for (const line of before) write(comment(`before: ${line}`))
  for (const line of notes) write(comment(`note: ${line}`))
  for (const line of plan.obstacles) write(comment(`IN THE WAY: ${line}`))
  write(
    comment(
      `in database ${state.database === '' ? '(yours)' : `"${state.database}"`}, statement by statement, not in one transaction:`,
    ),
  )
  for (const step of plan.steps) {
    write(
      `\n${comment(`${step.what}${step.there ? ': was there' : ''}${step.optional ? ` (optional: ${step.optional})` : ''}`)}`,
    )
    for (const sql of step.shown ?? step.sql) write(`${step.there ? '-- ' : ''}${sql};\n`)
  }
  return COMMAND_EXIT.done
}
