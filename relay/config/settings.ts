/**
 * Sources (flags over variables over config file over defaults; options over variables for `createRelay`) → settings,
 * complete and checked, or ONE ConfigurationError with every problem.
 *
 * Three steps: collect (which source gives which option, under which name the user knows it), parse each value, then
 * build the settings and check what options mean together.
 */
import { readFileSync } from 'node:fs'
import { ConfigurationError } from '../../src/errors.ts'
import type { ProduceTracer } from '../../src/trace/produce-trace.ts'
import type { Sink } from '../sink/sink.ts'
import type { RelayLogger, RelayObserver, RelaySettings, Route } from '../types.ts'
import { buildSettings, type Known } from './build.ts'
import { buildConsole, type ConsoleConfiguration } from './build-console.ts'
import type { ConfigFile } from './config-file.ts'
import { nearest } from './nearest.ts'
import { OPTION_ROWS, type RelayOptionKey, type RelayOptionValues } from './options.ts'
import { parseRoutes } from './routes.ts'
import { type OptionValue, parseOptionValue } from './values.ts'

type Variables = Readonly<Record<string, string | undefined>>

/** Where settings come from. Nothing of it is changed. */
export interface SettingsSources {
  /** The environment with the `.env` file under it (env-file.ts). */
  readonly env: Variables
  /** Flags of the command line by option key. */
  readonly flags?: Readonly<Record<string, unknown>>
  readonly file?: ConfigFile | undefined
  /** Reads certificates; the default is the file system. */
  readonly readFile?: (path: string) => string
}

/** One line of what `check-config` prints. */
export interface EffectiveSetting {
  readonly key: RelayOptionKey
  /** The value as text; a secret is masked. */
  readonly value: string
  /** `KAFKA_BROKERS`, `--kafka-brokers`, `kafkaBrokers in factlib-relay.config.mjs`, or `default`. */
  readonly from: string
}

export interface RelayConfiguration {
  readonly settings: RelaySettings
  readonly routes: readonly Route[]
  /** Of the process, not of the relay. `host` undefined: all addresses. */
  readonly http: { readonly host: string | undefined; readonly healthPort: number; readonly metricsPort: number }
  /** Whether the process loads Sentry. */
  readonly sentry: boolean
  /** Of the process; undefined: off. */
  readonly console: ConsoleConfiguration | undefined
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent'
  /** To be logged once: usable, but probably not what was meant. */
  readonly warnings: readonly string[]
  readonly effective: readonly EffectiveSetting[]
  /** What must never be seen in a log. */
  readonly secrets: readonly string[]
  /** The name by which the user knows an option. */
  readonly nameOf: (key: RelayOptionKey) => string
}

/** What `createRelay` takes: the options of docs/options.md, routes, a sink, a logger and an observer. */
export interface RelayOptions extends RelayOptionValues {
  /** First match wins; a fact without one goes to `${prefix}.${aggregateType}`. */
  readonly routes?: readonly Route[] | undefined
  /** Where records go instead of Kafka; the relay connects and closes it. Default: Kafka. */
  readonly sink?: Sink | undefined
  /** Traces each produce request: `sentryRelay(Sentry)`. Default: none. Not with `exactlyOnce`. */
  readonly tracer?: ProduceTracer | undefined
  /** Default: none. */
  readonly logger?: RelayLogger | undefined
  /** Default: none. */
  readonly observer?: RelayObserver | undefined
}

/**
 * All settings of a `factlib-relay` process.
 *
 * @example
 * ```ts
 * const { settings, http } = parseRelaySettings({ env: withEnvFile(process.env, '.env'), flags: {}, file: undefined })
 * ```
 * @throws ConfigurationError with every problem at once, each by the name that the user wrote, never with a secret.
 */
export function parseRelaySettings(sources: SettingsSources): RelayConfiguration {
  const problems: string[] = []
  const warnings = nearMisses(sources.env)
  const { file, flags = {} } = sources
  const fileOptions = file?.options ?? {}
  if (file !== undefined) checkKeys(fileOptions, ['routes'], `${file.path}: `, problems)
  const known = collect(
    [
      { values: flags, name: (key) => rowOf(key).flag ?? key },
      { values: sources.env, name: undefined },
      { values: fileOptions, name: (key) => `${key} in ${file?.path}` },
    ],
    problems,
    (row) => [...row.env, ...(row.flag === undefined ? [] : [row.flag]), `${row.key} in a config file`],
  )
  const routes = parseRoutes(fileOptions['routes'], problems)
  const settings = buildSettings(known, {
    env: sources.env,
    readFile: sources.readFile ?? readText,
    routes,
    problems,
    warnings,
  })
  const console = buildConsole(known, { problems, warnings })
  if (settings === undefined || problems.length > 0) throw new ConfigurationError(problems)
  return {
    settings,
    routes,
    http: {
      host: known.get<string>('httpHost'),
      healthPort: known.get<number>('healthPort')!,
      metricsPort: known.get<number>('metricsPort')!,
    },
    sentry: known.get<boolean>('sentry')!,
    console,
    logLevel: known.get<RelayConfiguration['logLevel']>('logLevel')!,
    warnings,
    effective: OPTION_ROWS.map((row) => ({
      key: row.key,
      value: row.key === 'databaseUrl' ? describeDatabase(settings) : masked(known.get(row.key), row.secret === true),
      from: known.isDefault(row.key) ? 'default' : known.name(row.key),
    })),
    secrets: [
      settings.database.password,
      settings.database.ssl?.passphrase,
      settings.kafka.sasl?.password,
      known.get<string>('databaseUrl'),
      known.get<string>('consoleToken'),
    ].filter((secret) => secret !== undefined),
    nameOf: known.name,
  }
}

/**
 * The settings of `createRelay`: its options, then the variables of the environment (not a `.env` file), then defaults.
 * Warnings go to `options.logger`.
 *
 * @example
 * ```ts
 * parseRelayOptions({ prefix: 'shop', databaseUrl: 'postgres://relay@db/shop', kafkaBrokers: ['kafka:9092'] })
 * ```
 * @throws ConfigurationError with every problem at once, never with a secret.
 */
export function parseRelayOptions(options: RelayOptions, context: { readonly env?: Variables } = {}): RelaySettings {
  const problems: string[] = []
  const warnings: string[] = []
  const env = context.env ?? process.env
  if (typeof options !== 'object' || options === null)
    throw new ConfigurationError(['createRelay takes an object of options'])
  checkKeys(options, ['routes', 'sink', 'tracer', 'logger', 'observer'], '', problems, 'relay')
  const known = collect(
    [
      { values: options as Readonly<Record<string, unknown>>, name: (key) => key },
      { values: env, name: undefined },
    ],
    problems,
    (row) => [row.key, ...row.env],
    'relay',
  )
  const routes = parseRoutes(options.routes, problems)
  const settings = buildSettings(known, { env, readFile: readText, routes, problems, warnings })
  if (settings === undefined || problems.length > 0) throw new ConfigurationError(problems)
  for (const warning of warnings) options.logger?.warn({}, warning)
  return settings
}

type Row = (typeof OPTION_ROWS)[number]

function rowOf(key: string): Row {
  return OPTION_ROWS.find((row) => row.key === key)!
}

/** `name` undefined: the values are by the names of variables, and an empty one counts as not set. */
interface Source {
  readonly values: Readonly<Record<string, unknown>>
  readonly name: ((key: RelayOptionKey) => string) | undefined
}

function collect(
  sources: readonly Source[],
  problems: string[],
  waysToGive: (row: Row) => readonly string[],
  scope?: Row['scope'],
): Known {
  const values = new Map<string, OptionValue>()
  const names = new Map<string, string>()
  for (const row of OPTION_ROWS) {
    const given = firstGiven(row, sources)
    if (scope !== undefined && row.scope !== scope) continue
    if (given !== undefined) names.set(row.key, given.name)
    const raw = given?.raw ?? row.default
    if (raw === undefined) {
      const ways = waysToGive(row)
      if (row.required) problems.push(`${ways[0]} is not set (also: ${ways.slice(1).join(', ')}). ${row.docs}`)
      continue
    }
    const parsed = parseOptionValue(row, raw)
    if ('problem' in parsed) problems.push(`${given?.name ?? row.key} ${parsed.problem}`)
    else values.set(row.key, parsed.value)
  }
  return {
    get: <T extends OptionValue>(key: RelayOptionKey) => values.get(key) as T | undefined,
    name: (key) => names.get(key) ?? waysToGive(rowOf(key))[0]!,
    isDefault: (key) => !names.has(key),
  }
}

function firstGiven(row: Row, sources: readonly Source[]): { raw: unknown; name: string } | undefined {
  for (const source of sources) {
    if (source.name !== undefined) {
      const raw = Object.hasOwn(source.values, row.key) ? source.values[row.key] : undefined
      if (raw !== undefined && raw !== null) return { raw, name: source.name(row.key) }
      continue
    }
    for (const variable of row.env) {
      const raw = source.values[variable]
      if (typeof raw === 'string' && raw.trim() !== '') return { raw, name: variable }
    }
  }
  return undefined
}

function checkKeys(
  options: object,
  others: readonly string[],
  where: string,
  problems: string[],
  scope?: Row['scope'],
): void {
  const keys = OPTION_ROWS.filter((row) => scope === undefined || row.scope === scope).map((row) => row.key)
  for (const key of Object.keys(options)) {
    if (others.includes(key) || keys.some((one) => one === key)) continue
    const row = OPTION_ROWS.find((one) => one.key === key || one.env.includes(key))
    if (row !== undefined && row.key === key)
      problems.push(`${where}"${key}" is an option of the factlib-relay process, not of createRelay`)
    else {
      const near = row?.key ?? nearest(key, [...keys, ...others])
      problems.push(`${where}unknown option "${key}"${near === undefined ? '' : `; did you mean "${near}"?`}`)
    }
  }
}

/** Variables that are one or two letters off one of ours which is not set: not an error, they may be somebody else's. */
function nearMisses(env: Variables): string[] {
  const ours = OPTION_ROWS.flatMap((row) => row.env)
  const unset = ours.filter((name) => !env[name])
  return Object.keys(env).flatMap((name) => {
    if (name.length < 6 || ours.includes(name) || !env[name]) return []
    const near = nearest(name, unset)
    return near === undefined ? [] : [`the variable ${name} is not one of the relay's; did you mean ${near}?`]
  })
}

function masked(value: OptionValue | undefined, secret: boolean): string {
  if (value === undefined) return ''
  if (secret) return '***'
  return Array.isArray(value) ? value.join(',') : String(value)
}

function describeDatabase({ database }: RelaySettings): string {
  const hosts = database.hosts.map(({ host, port }) => `${host}:${port}`).join(',')
  const password = database.password === undefined ? '' : ':***'
  return `postgres://${database.user}${password}@${hosts}/${database.database} (sslmode=${database.sslMode})`
}

function readText(path: string): string {
  return readFileSync(path, 'utf8')
}
