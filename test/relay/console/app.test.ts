import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type AppOptions, createApp } from '../../../relay/console/app.ts'
import { CLIENTS_MAX, EventStream, UNREAD_BYTES_MAX } from '../../../relay/console/event-stream.ts'
import { SECURITY_HEADERS } from '../../../relay/console/guards.ts'
import { waitFor } from '../../support/wait.ts'

// What the console answers, and to whom, over real HTTP; nothing here needs PostgreSQL or Kafka.

const TOKEN = 'correct-horse-battery'
const PAGE = Buffer.from('<!doctype html>')

async function serve(options: Partial<AppOptions> = {}) {
  const stream = new EventStream()
  const responses: ServerResponse[] = []
  const requeued: string[] = []
  const examined: number[] = []
  const app = createApp({
    assets: new Map([['/', { body: PAGE, contentType: 'text/html; charset=utf-8' }]]),
    allowedHosts: ['relay.internal'],
    token: TOKEN,
    hasPayloads: true,
    events: {
      get isFull() {
        return stream.isFull
      },
      attach(response, headers) {
        responses.push(response)
        stream.attach(response, headers)
      },
    },
    payload: (id) => (id === 'known' ? 'the payload' : undefined),
    requeue: async (id) => {
      if (id === 'unknown') throw new Error('there is no dead letter "unknown"')
      requeued.push(id)
      return ''
    },
    doctor: { waitSeconds: () => (examined.length === 0 ? 0 : 12), run: () => void examined.push(1) },
    ...options,
  })
  const server = createServer(getRequestListener(app.fetch, { overrideGlobalObjects: false }))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  onTestFinished(async () => {
    await stream.end()
    server.closeAllConnections()
    server.close()
  })
  /** As a browser on the page sends it: with its origin. */
  const ask = (method: string, path: string, headers: Record<string, string> = {}) =>
    new Promise<{ status: number; headers: IncomingMessage['headers']; body: string }>((resolve, reject) => {
      const own: Record<string, string> = method === 'POST' ? { origin: `http://127.0.0.1:${port}` } : {}
      const sent = request({ port, host: '127.0.0.1', method, path, headers: { ...own, ...headers } }, (answer) => {
        let body = ''
        answer.on('data', (part) => {
          body += part
        })
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body }))
      })
      sent.on('error', reject)
      sent.end()
    })
  return { port, ask, stream, responses, requeued, examined }
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const REQUEUE = '/dead-letters/letter-1/requeue'

describe('the console answers', () => {
  it('with headers that let nothing in from elsewhere, on every path and status', async () => {
    const { ask } = await serve()
    for (const [method, path, status] of [
      ['GET', '/', 200],
      ['GET', '/nothing', 404],
      ['DELETE', '/', 405],
      ['POST', REQUEUE, 401],
    ] as const) {
      const answer = await ask(method, path)
      expect(answer.status).toBe(status)
      expect(answer.headers).toMatchObject(SECURITY_HEADERS)
    }
    const policy = SECURITY_HEADERS['content-security-policy']
    expect(policy).toContain("default-src 'none'")
    expect(policy).not.toContain('unsafe')
  })

  it('only under names that are its own: a foreign name that points here is refused', async () => {
    const { ask, port } = await serve()
    for (const host of ['127.0.0.1', `127.0.0.1:${port}`, 'localhost:1', '[::1]:1', '10.0.0.7:3080', 'relay.internal'])
      expect([host, (await ask('GET', '/', { host })).status]).toEqual([host, 200])
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      'localhost.evil.example',
      'relay.internal.evil.example',
      '127.0.0.1.evil.example',
    ])
      expect([host, (await ask('GET', '/', { host })).status]).toEqual([host, 421])
    expect((await ask('GET', '/events', { host: 'evil.example' })).status).toBe(421)
  })

  it('no action of another site, and none that names no origin', async () => {
    const { ask, requeued, examined } = await serve()
    const attempts: Record<string, string>[] = [
      { origin: 'http://evil.example' },
      { origin: 'null' },
      { origin: 'http://127.0.0.1:1' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ]
    for (const headers of attempts) {
      expect((await ask('POST', REQUEUE, { ...bearer(TOKEN), ...headers })).status).toBe(403)
      expect((await ask('POST', '/doctor', headers)).status).toBe(403)
    }
    expect((await ask('GET', '/events', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors' })).status).toBe(403)
    expect((await ask('GET', '/', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' })).status).toBe(200)
    expect([requeued, examined]).toEqual([[], []])
  })

  it('an action without an origin is refused', async () => {
    const { port, requeued } = await serve()
    const socket = connect(port, '127.0.0.1')
    socket.end(
      `POST ${REQUEUE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\nConnection: close\r\n\r\n`,
    )
    let answer = ''
    for await (const part of socket) answer += part
    expect(answer).toMatch(/^HTTP\/1.1 403/)
    expect(requeued).toEqual([])
  })

  it('requeues with the token only; five wrong ones, and none is looked at for a minute', async () => {
    const { ask, requeued } = await serve()
    expect((await ask('POST', REQUEUE, bearer(TOKEN))).status).toBe(200)
    expect(await ask('POST', '/dead-letters/unknown/requeue', bearer(TOKEN))).toMatchObject({
      status: 409,
      body: JSON.stringify({ problem: 'there is no dead letter "unknown"' }),
    })
    for (const token of ['', 'wrong', `${TOKEN}x`, TOKEN.slice(1), 'correct-horse-batterz'])
      expect((await ask('POST', REQUEUE, bearer(token))).status).toBe(401)
    const locked = await ask('POST', REQUEUE, bearer(TOKEN))
    expect(locked.status).toBe(429)
    expect(Number(locked.headers['retry-after'])).toBeGreaterThan(0)
    expect(requeued).toEqual(['letter-1'])
  })

  it('requeues nothing where no token is set', async () => {
    const { ask, requeued } = await serve({ token: undefined })
    for (const headers of [{}, bearer(''), bearer('undefined')])
      expect((await ask('POST', REQUEUE, headers)).status).toBe(403)
    expect(requeued).toEqual([])
  })

  it('gives a payload only where payloads are on, and with the token where there is one', async () => {
    const off = await serve({ hasPayloads: false })
    expect((await off.ask('GET', '/facts/known/payload', bearer(TOKEN))).status).toBe(403)
    const on = await serve()
    expect((await on.ask('GET', '/facts/known/payload')).status).toBe(401)
    expect(await on.ask('GET', '/facts/known/payload', bearer(TOKEN))).toMatchObject({
      status: 200,
      body: '{"payload":"the payload"}',
    })
    expect((await on.ask('GET', '/facts/gone/payload', bearer(TOKEN))).status).toBe(404)
    const open = await serve({ token: undefined })
    expect((await open.ask('GET', '/facts/known/payload')).status).toBe(200)
  })

  it('lets the doctor come now and then only', async () => {
    const { ask, examined } = await serve()
    expect((await ask('POST', '/doctor')).status).toBe(202)
    const second = await ask('POST', '/doctor')
    expect([second.status, second.headers['retry-after']]).toEqual([429, '12'])
    expect(examined).toEqual([1])
  })

  it('reads no body', async () => {
    const { ask, requeued } = await serve()
    const answer = await ask('POST', REQUEUE, { ...bearer(TOKEN), 'content-length': '0' })
    expect(answer.status).toBe(200)
    const chunked = await ask('POST', REQUEUE, { ...bearer(TOKEN), 'transfer-encoding': 'chunked' })
    expect([chunked.status, chunked.headers.connection]).toEqual([413, 'close'])
    expect(requeued).toEqual(['letter-1'])
  })

  it('does not show an error of its own', async () => {
    const { ask } = await serve({
      payload: () => {
        throw new Error('password=hunter22')
      },
    })
    const answer = await ask('GET', '/facts/x/payload', bearer(TOKEN))
    expect(answer.status).toBe(500)
    expect(answer.body).not.toContain('hunter22')
  })
})

/** A page that reads its stream, or does not. */
async function openStream(port: number, isReading = true) {
  let text = ''
  const sent = request({ port, host: '127.0.0.1', path: '/events' })
  sent.on('error', () => {})
  sent.end()
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  answer.on('error', () => {})
  if (isReading) answer.on('data', (part) => (text += part))
  else answer.socket.pause()
  const closed = once(answer.socket, 'close')
  return {
    status: answer.statusCode,
    text: () => text,
    closed,
    destroy: () => sent.destroy(),
    resume: () => answer.resume(),
  }
}

describe('the stream of events', () => {
  it('sends a section when it has changed, and all of them to whoever comes later', async () => {
    const { port, stream } = await serve()
    const first = await openStream(port)
    stream.send('relay', { phase: 'standby' })
    stream.send('relay', { phase: 'standby' })
    stream.send('relay', { phase: 'streaming' })
    await waitFor(() => first.text().includes('"streaming"'), { what: 'the second state' })
    expect(first.text().match(/event: relay/g)).toHaveLength(2)
    const second = await openStream(port)
    await waitFor(() => second.text().includes('event: relay\ndata: {"phase":"streaming"}\n\n'), { what: 'the state' })
    expect(second.text()).not.toContain('standby')
  })

  it('takes a bounded number of pages, and another one when one has gone', async () => {
    const { port, ask, stream } = await serve()
    const pages = await Promise.all(Array.from({ length: CLIENTS_MAX }, () => openStream(port)))
    expect((await ask('GET', '/events')).status).toBe(503)
    pages[0]?.destroy()
    await waitFor(() => stream.clientCount < CLIENTS_MAX, { what: 'the page to be gone' })
    expect((await openStream(port)).status).toBe(200)
  })

  it('drops a page that does not read, and keeps the others', async () => {
    const { port, stream } = await serve()
    const slow = await openStream(port, false)
    const quick = await openStream(port)
    const large = 'x'.repeat(UNREAD_BYTES_MAX)
    await waitFor(
      () => {
        stream.pass('sample', large)
        return stream.clientCount === 1
      },
      { what: 'the slow page to be dropped' },
    )
    slow.resume()
    await slow.closed
    stream.send('relay', { phase: 'streaming' })
    await waitFor(() => quick.text().includes('streaming'), { what: 'the other page to go on' })
  })

  it('ends with its last words, and waits for nobody who does not read', async () => {
    const { port, stream, ask, responses } = await serve()
    const quick = await openStream(port)
    const slow = await openStream(port, false)
    // Until the socket of the one that does not read is full.
    const part = 'x'.repeat(UNREAD_BYTES_MAX / 2)
    await waitFor(
      () => {
        if (responses[1]?.writableLength === 0) stream.pass('sample', part)
        return responses[1]?.writableLength !== 0 && responses[0]?.writableLength === 0
      },
      { what: 'the slow page to have something unread', intervalMs: 1 },
    )
    stream.send('ended', { exitCode: 10 })
    const startedMs = performance.now()
    await stream.end()
    expect(performance.now() - startedMs).toBeLessThan(2_000)
    await quick.closed
    expect(quick.text()).toContain('event: ended\ndata: {"exitCode":10}')
    slow.destroy()
    expect((await ask('GET', '/events')).status).toBe(503)
  })
})
