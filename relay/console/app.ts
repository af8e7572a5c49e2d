import type { ServerResponse } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { type Context, Hono } from 'hono'
import type { Asset } from './assets.ts'
import { bearerOf, isAllowedHost, isForeign, isToken, RateLimit, SECURITY_HEADERS } from './guards.ts'

// What can be asked for. Each request passes the guards first: a known host name, this page's own origin, no body.
//
//   GET  /  /app.js  /style.css  /icon.svg   the page
//   GET  /events                              its data, as server-sent events
//   GET  /facts/:id/payload                   one payload, where payloads are on (with the token, where there is one)
//   POST /dead-letters/:id/requeue            with the token
//   POST /doctor                              the result comes as an event

export interface AppOptions {
  readonly assets: ReadonlyMap<string, Asset>
  /** Host names under which the console may be called, beside addresses and `localhost`. */
  readonly allowedHosts: readonly string[]
  /** Undefined: nothing can be requeued. */
  readonly token: string | undefined
  readonly hasPayloads: boolean
  readonly events: {
    readonly isFull: boolean
    attach(response: ServerResponse, headers: Readonly<Record<string, string>>): void
  }
  /** Undefined: not kept (any more). */
  payload(id: string): string | undefined
  /** Resolves to what else is to be done, or ''. Rejects with a message for people. */
  requeue(id: string): Promise<string>
  readonly doctor: { waitSeconds(): number; run(): void }
}

/** So many wrong tokens within a minute; then none is looked at for the rest of it. */
const WRONG_TOKENS_MAX = 5
const WRONG_TOKENS_MS = 60_000

type Env = { Bindings: HttpBindings }

export function createApp(options: AppOptions): Hono<Env> {
  const app = new Hono<Env>()
  const wrongTokens = new RateLimit(WRONG_TOKENS_MAX, WRONG_TOKENS_MS)

  app.use(async (context, next) => {
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) context.header(name, value)
    const refusal = refuse(context, options.allowedHosts)
    if (refusal) return refusal
    await next()
    return undefined
  })

  for (const [path, { body, contentType }] of options.assets)
    app.get(path, (context) => context.body(new Uint8Array(body), 200, { 'content-type': contentType }))

  app.get('/events', (context) => {
    if (options.events.isFull) return problem(context, 503, 'Too many pages are open: close one.', 5)
    options.events.attach(context.env.outgoing, SECURITY_HEADERS)
    return RESPONSE_ALREADY_SENT
  })

  app.get('/facts/:id/payload', (context) => {
    if (!options.hasPayloads) return problem(context, 403, 'Payloads are off: CONSOLE_PAYLOADS=true turns them on.')
    const refusal = options.token === undefined ? undefined : checkToken(context, options.token)
    if (refusal) return refusal
    const payload = options.payload(context.req.param('id'))
    return payload === undefined
      ? problem(context, 404, 'This fact is not kept any more: only the last ones are.')
      : context.json({ payload })
  })

  app.post('/dead-letters/:id/requeue', async (context) => {
    if (options.token === undefined) return problem(context, 403, 'CONSOLE_TOKEN is not set: nothing can be requeued.')
    const refusal = checkToken(context, options.token)
    if (refusal) return refusal
    try {
      return context.json({ note: await options.requeue(context.req.param('id')) })
    } catch (error) {
      return problem(context, 409, error instanceof Error ? error.message : String(error))
    }
  })

  app.post('/doctor', (context) => {
    const seconds = options.doctor.waitSeconds()
    if (seconds > 0) return problem(context, 429, `The doctor was here just now: again in ${seconds} s.`, seconds)
    options.doctor.run()
    return context.json({}, 202)
  })

  app.notFound((context) => problem(context, 404, 'Not found.'))
  // Not the error itself: it is shown to whoever asks.
  app.onError((_, context) => problem(context, 500, 'The console failed to answer.'))

  function checkToken(context: Context<Env>, token: string): Response | undefined {
    const nowMs = performance.now()
    const seconds = wrongTokens.waitSeconds(nowMs)
    if (seconds > 0) return problem(context, 429, `Too many wrong tokens: again in ${seconds} s.`, seconds)
    if (isToken(bearerOf(context.req.header('authorization')), token)) return undefined
    wrongTokens.count(nowMs)
    return problem(context, 401, 'The token is missing or wrong.')
  }

  return app
}

function refuse(context: Context<Env>, allowedHosts: readonly string[]): Response | undefined {
  const { method } = context.req
  const header = (name: string) => context.req.header(name)
  const host = header('host')
  if (!isAllowedHost(host, allowedHosts))
    return problem(context, 421, 'The console does not go by this host name: name it in CONSOLE_ALLOWED_HOSTS.')
  if (method !== 'GET' && method !== 'POST') return problem(context, 405, 'Only GET and POST.')
  const origin = {
    host,
    origin: header('origin'),
    fetchSite: header('sec-fetch-site'),
    fetchMode: header('sec-fetch-mode'),
  }
  if (isForeign(origin, method === 'POST')) return problem(context, 403, 'Only the console’s own page may ask this.')
  const { headers } = context.env.incoming
  if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0) {
    context.header('connection', 'close')
    return problem(context, 413, 'Nothing is read from a request but its line and headers.')
  }
  return undefined
}

function problem(
  context: Context<Env>,
  status: 401 | 403 | 404 | 405 | 409 | 413 | 421 | 429 | 500 | 503,
  message: string,
  retrySeconds?: number,
): Response {
  if (retrySeconds !== undefined) context.header('retry-after', String(retrySeconds))
  return context.json({ problem: message }, status)
}
