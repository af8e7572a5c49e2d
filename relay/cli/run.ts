/** `factlib-relay run`: HTTP, relay and signals, until the relay has stopped. */
import { constants } from 'node:os'
import { isFactlibError } from '../../src/errors.ts'
import type { RelayConfiguration } from '../config/settings.ts'
import type { ConsoleSettings, RelayConsole } from '../console/console.ts'
import { isPortInUse, startHttp } from '../ops/http.ts'
import { createLogger } from '../ops/logger.ts'
import { createRelayMetrics } from '../ops/metrics.ts'
import { packageVersion } from '../package-version.ts'
import { EXIT } from '../policy.ts'
import { createRelayFromSettings } from '../relay.ts'
import type { Relay, RelayLogger } from '../types.ts'
import { CliError } from './cli-error.ts'
import { createLiveView } from './live-view.ts'
import { limitYoungGeneration } from './young-generation.ts'

/** What a stop may take beyond the drain before the process ends by itself. */
const STOP_MARGIN_MS = 5_000

export interface RunOptions {
  /** A live line for a person on a terminal, and log lines for reading, instead of JSON. */
  readonly live?: boolean
}

/**
 * Runs the relay; resolves to the exit code.
 *
 * @throws CliError when a port is taken; ConfigurationError when one cannot be had at all, or this Node.js cannot run what the
 * settings ask for. The relay was not started then.
 */
export async function run(configuration: RelayConfiguration, options: RunOptions = {}): Promise<number> {
  const { settings, routes, http: ports, nameOf } = configuration
  const live = options.live ? createLiveView(settings) : undefined
  const logger = createLogger({
    level: configuration.logLevel,
    secrets: configuration.secrets,
    ...(live === undefined ? {} : { stream: live.logStream }),
  })
  endOnDefects(logger)
  for (const warning of configuration.warnings) logger.warn({}, warning)

  const metrics = createRelayMetrics()
  let relay: Relay | undefined
  // Before the relay: a port that is taken ends the process while nothing else is open.
  limitYoungGeneration()
  await using http = await orPortInUse(
    startHttp({
      ...ports,
      health: () => relay?.health() ?? { ok: false, reason: 'starting' },
      readiness: () => relay?.readiness() ?? { ok: false, reason: 'starting' },
      liveness: () => relay?.liveness() ?? { ok: true },
      metrics: () => metrics.text(),
      metricsContentType: metrics.contentType,
      names: { host: nameOf('httpHost'), healthPort: nameOf('healthPort'), metricsPort: nameOf('metricsPort') },
    }),
  )
  const shown =
    configuration.console === undefined
      ? undefined
      : await orPortInUse(openConsole(configuration, configuration.console))
  const heard = shown === undefined ? metrics.observer : shown.observe(metrics.observer)
  const observer = live === undefined ? heard : live.observe(heard)
  const tracer = configuration.sentry ? await (await import('./sentry.ts')).loadSentryTracer(process.env) : undefined
  const running = createRelayFromSettings(settings, {
    routes,
    logger,
    observer,
    ...(tracer ? { tracer } : {}),
    ...(shown === undefined ? {} : { onDurable: (entries) => shown.durable(entries) }),
  })
  relay = running
  metrics.watch(running)
  shown?.start(running)
  live?.start(running)
  // Before the first line of the log: whoever waits for it may send a signal at once.
  let stopRequested = false
  const stop = (signal: 'SIGTERM' | 'SIGINT') => {
    if (stopRequested) {
      logger.warn({ signal }, 'second signal: ending at once; what was not confirmed is delivered again')
      process.exit(128 + constants.signals[signal])
    }
    stopRequested = true
    logger.info(
      { signal, drainTimeoutMs: settings.drainTimeoutMs },
      'stopping: what was received is brought to Kafka and confirmed',
    )
    setTimeout(() => {
      // Drained and confirmed: only a client of Kafka or PostgreSQL does not close, and a process that is to end ends.
      if (running.phase === 'stopped') process.exit(EXIT.stopped)
      logger.error({}, 'the relay did not stop in time; what was not confirmed is delivered again')
      process.exit(EXIT.internal)
    }, settings.drainTimeoutMs + STOP_MARGIN_MS).unref()
    void running.stop()
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)

  const { slot, prefixes } = settings
  const { healthPort, metricsPort } = http
  logger.info(
    { version: packageVersion(), slot, prefixes, healthPort, metricsPort, ...(shown && { consolePort: shown.port }) },
    'factlib-relay starts',
  )

  let startError: unknown
  running.start().catch(async (error: unknown) => {
    startError = error
    // When the relay has failed by itself this changes nothing.
    await running.stop()
  })
  const outcome = await running.whenStopped()
  live?.stop()
  await tracer?.close()
  if (isFactlibError(startError, 'FACTLIB_BAD_CONFIGURATION')) throw startError
  const error = outcome.error ?? (stopRequested ? undefined : startError)
  const exitCode = outcome.exitCode === EXIT.stopped && error !== undefined ? EXIT.internal : outcome.exitCode
  const reason = error instanceof Error ? error.message : 'the relay failed'
  // A halt and a stop in good order have been said by the relay itself.
  if (error !== undefined && error !== outcome.error) logger.error({ error, exitCode }, reason)
  await shown?.close({ exitCode, reason: error === undefined ? null : reason })
  return exitCode
}

/** A port that is taken is no wrong setting as such: its exit code is one after which a supervisor starts again. */
async function orPortInUse<T>(listening: Promise<T>): Promise<T> {
  try {
    return await listening
  } catch (error) {
    if (!isPortInUse(error)) throw error
    throw new CliError(error.problems.join('\n'), { exitCode: EXIT.portInUse, cause: error })
  }
}

/** Loaded only when it is on: off, it costs nothing. */
async function openConsole(
  { settings, routes, secrets, nameOf }: RelayConfiguration,
  options: ConsoleSettings,
): Promise<RelayConsole> {
  const { startConsole } = await import('../console/console.ts')
  const names = { host: nameOf('consoleHost'), port: nameOf('consolePort') }
  return startConsole({ ...options, settings, routes, secrets, version: packageVersion(), names })
}

/** One line, then the end: in an unknown state nothing more may be confirmed, and an orchestrator starts a new process. */
function endOnDefects(logger: RelayLogger): void {
  const end = (kind: string) => (error: unknown) => {
    logger.error(
      { error, kind, exitCode: EXIT.internal },
      'a defect: the relay ends, so that a new process can take over',
    )
    process.exit(EXIT.internal)
  }
  process.on('uncaughtException', end('uncaughtException'))
  process.on('unhandledRejection', end('unhandledRejection'))
}
