import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { type HttpFace, type HttpOptions, startHttp } from '../../../relay/ops/http.ts'
import type { RelayHealth } from '../../../relay/types.ts'
import { ConfigurationError } from '../../../src/errors.ts'

const open: { close(): unknown }[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})

async function start(options: Partial<HttpOptions> = {}): Promise<HttpFace> {
  const face = await startHttp({
    host: '127.0.0.1',
    healthPort: 0,
    metricsPort: 0,
    health: () => ({ ok: true }),
    metrics: async () => 'factlib_x 1\n',
    ...options,
  })
  open.push(face)
  return face
}

interface Reply {
  status: number
  type: string | undefined
  length: string | undefined
  body: string
}

function ask(port: number, path: string, how: { method?: string; body?: string; agent?: Agent } = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', body, agent } = how
    const headers = body === undefined ? {} : { 'content-length': body.length }
    const asked = request({ host: '127.0.0.1', port, path, method, headers, agent: agent ?? false }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part) => {
        text += part
      })
      response.on('end', () => {
        const { 'content-type': type, 'content-length': length } = response.headers
        resolve({ status: response.statusCode!, type, length, body: text })
      })
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

describe('/health', () => {
  test('200 OK, or 503 with the reason in one line; /livez stays 200', async () => {
    let health: RelayHealth = { ok: true }
    const { healthPort } = await start({ health: () => health })
    expect(await ask(healthPort, '/health')).toEqual({
      status: 200,
      type: 'text/plain; charset=utf-8',
      length: '2',
      body: 'OK',
    })
    health = { ok: false, reason: 'Kafka does not answer:\n  timeout' }
    expect(await ask(healthPort, '/health')).toMatchObject({
      status: 503,
      body: 'Not OK: Kafka does not answer: timeout',
    })
    expect(await ask(healthPort, '/livez')).toMatchObject({ status: 200, body: 'OK' })
    // Where nobody says otherwise, ready is what healthy is.
    expect(await ask(healthPort, '/readyz')).toMatchObject({
      status: 503,
      body: 'Not OK: Kafka does not answer: timeout',
    })
  })

  test('/readyz and /livez have their own reasons', async () => {
    const { healthPort } = await start({
      readiness: () => ({ ok: false, reason: 'no heartbeat' }),
      liveness: () => ({ ok: false, reason: 'no status' }),
    })
    expect(await ask(healthPort, '/health')).toMatchObject({ status: 200 })
    expect(await ask(healthPort, '/readyz')).toMatchObject({ status: 503, body: 'Not OK: no heartbeat' })
    expect(await ask(healthPort, '/livez')).toMatchObject({ status: 503, body: 'Not OK: no status' })
  })

  test('a health check that throws is not OK, and its message is not shown', async () => {
    const { healthPort } = await start({
      health: () => {
        throw new TypeError('password=hunter22')
      },
    })
    expect(await ask(healthPort, '/health')).toMatchObject({ status: 503, body: 'Not OK: TypeError while answering' })
  })
})

test('/metrics has the text format 0.0.4; metrics that fail are a 500', async () => {
  let metrics = async () => 'factlib_x 1\n'
  const { metricsPort } = await start({ metrics: () => metrics() })
  expect(await ask(metricsPort, '/metrics')).toEqual({
    status: 200,
    type: 'text/plain; version=0.0.4; charset=utf-8',
    length: '12',
    body: 'factlib_x 1\n',
  })
  metrics = () => Promise.reject(new Error('no'))
  expect(await ask(metricsPort, '/metrics')).toMatchObject({ status: 500 })
})

test('equal ports are one server with all paths, different ports keep to their own', async () => {
  const one = await start()
  expect(one.healthPort).toBe(one.metricsPort)
  for (const path of ['/health', '/livez', '/metrics', '/metrics?name=x'])
    expect((await ask(one.healthPort, path)).status).toBe(200)
  await one.close()
  const two = await start({ healthPort: one.healthPort })
  expect(two.healthPort).not.toBe(two.metricsPort)
  expect((await ask(two.healthPort, '/health')).status).toBe(200)
  expect((await ask(two.healthPort, '/metrics')).status).toBe(404)
  expect((await ask(two.metricsPort, '/metrics')).status).toBe(200)
  expect((await ask(two.metricsPort, '/health')).status).toBe(404)
})

test('other paths are 404; other methods are 405; HEAD has no body', async () => {
  const { healthPort } = await start()
  for (const path of ['/', '/healthz', '//', '/metrics/']) expect((await ask(healthPort, path)).status).toBe(404)
  expect((await ask(healthPort, '/health', { method: 'DELETE' })).status).toBe(405)
  expect(await ask(healthPort, '/health', { method: 'HEAD' })).toMatchObject({ status: 200, length: '2', body: '' })
})

test('a body is ignored', async () => {
  const { healthPort } = await start()
  expect(await ask(healthPort, '/health', { body: 'x'.repeat(1_000_000) })).toMatchObject({ status: 200, body: 'OK' })
  expect(await ask(healthPort, '/health', { method: 'POST', body: 'x' })).toMatchObject({ status: 405 })
})

test('close is at once, also with a connection that is kept alive and one that says nothing', async () => {
  const face = await start()
  const agent = new Agent({ keepAlive: true })
  open.push({ close: () => agent.destroy() })
  await ask(face.healthPort, '/health', { agent })
  const silent = connect(face.healthPort, '127.0.0.1')
  silent.on('error', () => {})
  await once(silent, 'connect')
  silent.write('GET /health HTTP/1.1\r\nX-Half')
  const ended = new Promise((resolve) => silent.once('close', resolve))
  await face.close()
  await ended
  await expect(ask(face.healthPort, '/health')).rejects.toThrow('ECONNREFUSED')
  await face.close()
})

describe('a port that cannot be had', () => {
  const names = { host: '--http-host', healthPort: 'WAL_HEALTH_PORT', metricsPort: 'metricsPort in relay.json' }

  test('is told by the name of its setting, and leaves nothing open', async () => {
    const taken = await start()
    await expect(start({ healthPort: taken.healthPort, names })).rejects.toThrow(
      new ConfigurationError([
        `WAL_HEALTH_PORT: port ${taken.healthPort} is in use: stop what listens on it, or give another port`,
      ]),
    )
    const other = await start()
    await expect(start({ healthPort: taken.healthPort, metricsPort: other.healthPort, names })).rejects.toMatchObject({
      cause: { code: 'EADDRINUSE' },
      problems: [
        expect.stringContaining(`WAL_HEALTH_PORT: port ${taken.healthPort} is in use`),
        expect.stringContaining(`metricsPort in relay.json: port ${other.healthPort} is in use`),
      ],
    })
    const free = await start()
    await free.close()
    await expect(start({ healthPort: free.healthPort, metricsPort: taken.healthPort, names })).rejects.toThrow(
      `metricsPort in relay.json: port ${taken.healthPort} is in use`,
    )
    await expect(ask(free.healthPort, '/health')).rejects.toThrow('ECONNREFUSED')
  })

  test('an address of another machine is told by the name of the host', async () => {
    await expect(start({ host: '192.0.2.1', names })).rejects.toThrow(
      '--http-host: "192.0.2.1" is no address of this machine',
    )
  })
})
