/**
 * What operators ask the process over HTTP:
 *
 *   /health   200 `OK`, or 503 `Not OK: <reason>`: whether facts get through, as OwlPost has it
 *   /readyz   the same, and the heartbeat comes back through the slot (readiness)
 *   /livez    200 `OK` while the process makes progress (liveness: restarting a relay does not repair Kafka)
 *   /metrics  Prometheus text 0.0.4
 *
 * Two ports as OwlPost has them, or one server when they are equal. Nothing is ever read from a request but its line.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ConfigurationError } from '../../src/errors.ts'
import type { RelayHealth } from '../types.ts'

export interface HttpOptions {
  /** Address to listen on; undefined: all of the machine's. */
  readonly host: string | undefined
  /** 0: a free one. */
  readonly healthPort: number
  /** 0: a free one. Equal to the health port: one server for both. */
  readonly metricsPort: number
  health(): RelayHealth
  /** Absent: as `health`. */
  readonly readiness?: () => RelayHealth
  /** Absent: alive as long as it answers. */
  readonly liveness?: () => RelayHealth
  metrics(): Promise<string>
  readonly metricsContentType?: string
  /** How the user calls the settings, for messages. */
  readonly names?: { readonly host: string; readonly healthPort: string; readonly metricsPort: string }
}

export interface HttpFace extends AsyncDisposable {
  /** The ports that are really listened on. */
  readonly healthPort: number
  readonly metricsPort: number
  /** Closes at once, connections that are kept alive too. */
  close(): Promise<void>
}

interface Answer {
  readonly status: number
  readonly body: string
  readonly contentType?: string
}

type Handler = () => Answer | Promise<Answer>

const NAMES = { host: 'HTTP_HOST', healthPort: 'WAL_HEALTH_PORT', metricsPort: 'METRICS_PORT' }
const PLAIN_TEXT = 'text/plain; charset=utf-8'
const PROMETHEUS_TEXT = 'text/plain; version=0.0.4; charset=utf-8'

/**
 * Listens on both ports.
 *
 * @example
 * ```ts
 * const http = await startHttp({ host: undefined, healthPort: 3001, metricsPort: 2112, health: () => relay.health(), metrics })
 * await http.close()
 * ```
 * @throws ConfigurationError when ports cannot be listened on, each by the name of its setting; nothing is left open then.
 */
export async function startHttp(options: HttpOptions): Promise<HttpFace> {
  const names = options.names ?? NAMES
  const healthPaths: Record<string, Handler> = {
    '/health': () => toAnswer(options.health()),
    '/readyz': () => toAnswer((options.readiness ?? options.health)()),
    '/livez': () => toAnswer(options.liveness?.() ?? { ok: true }),
  }
  const metricsPaths: Record<string, Handler> = {
    '/metrics': async () => ({
      status: 200,
      body: await options.metrics(),
      contentType: options.metricsContentType ?? PROMETHEUS_TEXT,
    }),
  }
  const shared = options.healthPort === options.metricsPort
  const [health, metrics] = await listenOnAll([
    listen(
      shared ? { ...healthPaths, ...metricsPaths } : healthPaths,
      options.host,
      options.healthPort,
      names.healthPort,
      names.host,
    ),
    ...(shared ? [] : [listen(metricsPaths, options.host, options.metricsPort, names.metricsPort, names.host)]),
  ])
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= Promise.all([...new Set([health, metrics])].map(closeNow)).then(() => undefined)
    return closed
  }
  return { healthPort: portOf(health), metricsPort: portOf(metrics), close, [Symbol.asyncDispose]: close }
}

function toAnswer(health: RelayHealth): Answer {
  // One line: a reason may quote a server.
  return health.ok
    ? { status: 200, body: 'OK' }
    : { status: 503, body: `Not OK: ${health.reason.replace(/\s+/g, ' ').trim()}` }
}

async function answer(
  paths: Readonly<Record<string, Handler>>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '/').split('?')[0]!
  const handler = paths[path]
  let result: Answer
  if (handler === undefined) result = { status: 404, body: 'Not Found' }
  else if (request.method !== 'GET' && request.method !== 'HEAD') result = { status: 405, body: 'Method Not Allowed' }
  else {
    try {
      result = await handler()
    } catch (error) {
      // Not the error itself: it is shown to whoever asks.
      result = {
        status: path === '/metrics' ? 500 : 503,
        body: `Not OK: ${error instanceof Error ? error.name : 'error'} while answering`,
      }
    }
  }
  if (response.destroyed) return
  // A body is never read; the connection of whoever sends one is not worth keeping.
  const sendsBody =
    request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined
  const body = Buffer.from(result.body)
  response.writeHead(result.status, {
    'content-type': result.contentType ?? PLAIN_TEXT,
    'content-length': body.length,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(result.status === 405 ? { allow: 'GET, HEAD' } : {}),
    ...(sendsBody ? { connection: 'close' } : {}),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

/** Both servers, or the only one twice. Of ports that cannot be had all are named, and the others are closed again. */
async function listenOnAll(listening: readonly Promise<Server>[]): Promise<readonly [Server, Server]> {
  const tried = await Promise.allSettled(listening)
  const open = tried.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const errors = tried.flatMap((one) => (one.status === 'rejected' ? [one.reason as ConfigurationError] : []))
  if (errors.length === 0) return [open[0] as Server, open.at(-1) as Server]
  await Promise.all(open.map(closeNow))
  const problems = new Set(errors.flatMap((error) => error.problems))
  // What waiting does not mend is the cause, if there is such a one.
  const worst = errors.find((error) => !isPortInUse(error)) ?? errors[0]
  throw new ConfigurationError([...problems], { cause: worst?.cause })
}

/** Whether it says only that ports are taken, which may pass. */
export function isPortInUse(error: unknown): error is ConfigurationError {
  return error instanceof ConfigurationError && (error.cause as { code?: unknown } | undefined)?.code === 'EADDRINUSE'
}

async function listen(
  paths: Readonly<Record<string, Handler>>,
  host: string | undefined,
  port: number,
  portName: string,
  hostName: string,
): Promise<Server> {
  const server = createServer(
    // Whoever sends slowly, or nothing, is cut off; probes and scrapes are one short line.
    {
      headersTimeout: 5_000,
      requestTimeout: 10_000,
      keepAliveTimeout: 5_000,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: 8_192,
    },
    (request, response) => void answer(paths, request, response),
  )
  server.maxConnections = 256
  await new Promise<void>((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => reject(listenError(error, host, port, portName, hostName))
    server.once('error', failed)
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      server.off('error', failed)
      // An accept that fails (no file descriptors left) must not end the relay.
      server.on('error', () => {})
      resolve()
    })
  })
  return server
}

function listenError(
  error: NodeJS.ErrnoException,
  host: string | undefined,
  port: number,
  portName: string,
  hostName: string,
): ConfigurationError {
  const cause = { cause: error }
  switch (error.code) {
    case 'EADDRINUSE':
      return new ConfigurationError(
        [`${portName}: port ${port} is in use: stop what listens on it, or give another port`],
        cause,
      )
    case 'EACCES':
      return new ConfigurationError(
        [`${portName}: this process may not listen on port ${port}: give one above 1023`],
        cause,
      )
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new ConfigurationError([`${hostName}: ${JSON.stringify(host ?? '')} is no address of this machine`], cause)
    default:
      return new ConfigurationError(
        [`${portName}: port ${port} cannot be listened on (${error.code ?? error.message})`],
        cause,
      )
  }
}

function closeNow(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}
