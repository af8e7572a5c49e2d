import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

// The real process, without servers: nothing here connects to a PostgreSQL or a Kafka that answers.
const MAIN = fileURLToPath(new URL('../../../relay/cli/main.ts', import.meta.url))
const TSX = import.meta.resolve('tsx')
const SLOW = 30_000

let folder: string
const children: ChildProcess[] = []
const servers: Server[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'factlib-cli-'))
})
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  }
  for (const server of servers.splice(0)) server.close()
  rmSync(folder, { recursive: true, force: true })
})

interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

function start(args: readonly string[], env: Record<string, string> = {}) {
  // An empty environment: the developer's own DATABASE_URL is not to be part of a test.
  const child = spawn(process.execPath, ['--import', TSX, MAIN, ...args], {
    cwd: folder,
    env: { PATH: process.env['PATH'], ...env },
  })
  children.push(child)
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (part) => {
    stdout += part
  })
  child.stderr.on('data', (part) => {
    stderr += part
  })
  const ended = once(child, 'close').then(([code]): Ended => ({ code: code as number | null, stdout, stderr }))
  return { child, ended }
}

/** A port that counts who connects to it and never answers: PostgreSQL and Kafka of these tests. */
async function silentServer(): Promise<{ port: number; connections: () => number; whenConnected: Promise<unknown> }> {
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.on('error', () => {})
  })
  const whenConnected = once(server, 'connection')
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, connections: () => connections, whenConnected }
}

test('nine wrong settings: one message with all of them, exit 2, no secret, nothing touched', {
  timeout: SLOW,
}, async () => {
  const kafka = await silentServer()
  const { ended } = start(['--window-facts', 'many', '--kafka-ssl-ca', '/no/such/ca.pem'], {
    MASTER_DATABASE_URL: 'postgres://app:db-hunter22@localhost:notaport/shop?sslmode=sometimes',
    KAFKA_BROKERS: `127.0.0.1:${kafka.port},kafka`,
    KAFKA_SSL: 'perhaps',
    KAFKA_PASSWORD: 'kafka-hunter22',
    WAL_HEALTH_PORT: '99999',
    LOG_LEVEL: 'loud',
  })
  const { code, stdout, stderr } = await ended
  expect(code).toBe(2)
  expect(stdout).toBe('')
  const problems = stderr.split('\n').filter((line) => line.startsWith('- '))
  for (const problem of [
    /^- WAL_PREFIX is not set/,
    /^- MASTER_DATABASE_URL: the port is not a number/,
    /^- MASTER_DATABASE_URL: sslmode must be one of/,
    /^- KAFKA_BROKERS: the broker "kafka" needs a port/,
    /^- KAFKA_SSL must be true or false/,
    /^- KAFKA_PASSWORD is set, but KAFKA_USERNAME is not/,
    /^- --window-facts must be a whole number/,
    /^- WAL_HEALTH_PORT must be a whole number from 0 to 65535, but is "99999"/,
    /^- LOG_LEVEL must be one of/,
  ]) {
    expect(problems).toContainEqual(expect.stringMatching(problem))
  }
  expect(stderr).not.toContain('hunter22')
  expect(stderr).not.toMatch(/^\s+at /m)
  expect(kafka.connections()).toBe(0)
})

test('a wrong flag, an unknown command and a config file that is not there end with 2 and a sentence', {
  timeout: SLOW,
}, async () => {
  const [flag, command, file] = await Promise.all(
    [['--kafka-broker', 'x:1'], ['relay'], ['--config', 'gone.json']].map((args) => start(args).ended),
  )
  expect(flag).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('Did you mean --kafka-brokers') })
  expect(command).toMatchObject({
    code: 2,
    stderr: expect.stringContaining(
      'unknown command "relay": the commands are run, setup, teardown, doctor, status, tail, dead-letters and check-config',
    ),
  })
  expect(file).toMatchObject({ code: 2, stderr: expect.stringContaining('there is no file gone.json') })
})

test('--help names every variable and flag, --version the version', { timeout: SLOW }, async () => {
  const { OPTION_ROWS } = await import('../../../relay/config/options.ts')
  const [help, version] = await Promise.all([start(['--help']).ended, start(['--version']).ended])
  expect(help).toMatchObject({ code: 0, stderr: '' })
  for (const { env, flag } of OPTION_ROWS)
    for (const name of [...env, ...(flag === undefined ? [] : [flag])]) expect(help.stdout).toContain(name)
  expect(version).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\S*\n$/) })
})

test('check-config: flags over environment over .env over config file; secrets masked; nothing connected', {
  timeout: SLOW,
}, async () => {
  const database = await silentServer()
  writeFileSync(
    join(folder, '.env'),
    'WAL_PREFIX=from-dotenv\nAPP_NAME=from-dotenv\nKAFKA_USERNAME=u\nKAFKA_PASSWORD=kafka#hunter22\n',
  )
  writeFileSync(
    join(folder, 'factlib-relay.config.mjs'),
    'export default { prefix: "from-file", sourceServiceName: "from-file", routes: [{ aggregateType: "user", topic: "user-events" }] }',
  )
  const { ended } = start(['check-config', '--kafka-ssl', '--kafka-brokers', 'a:1', '--kafka-brokers', 'b:2'], {
    APP_NAME: 'from-environment',
    DATABASE_URL: `postgres://app:db-hunter22@127.0.0.1:${database.port}/shop`,
  })
  const { code, stdout, stderr } = await ended
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  for (const line of [
    /^prefix +from-dotenv +\(WAL_PREFIX\)$/m,
    /^appName +from-environment +\(APP_NAME\)$/m,
    /^sourceServiceName +from-file +\(sourceServiceName in factlib-relay.config.mjs\)$/m,
    /^kafkaSsl +true +\(--kafka-ssl\)$/m,
    /^kafkaBrokers +a:1,b:2 +\(--kafka-brokers\)$/m,
    /^kafkaPassword +\*\*\* /m,
    /^routes\[0\] +aggregateType=user → topic user-events$/m,
    /^The configuration is usable\.$/m,
  ]) {
    expect(stdout).toMatch(line)
  }
  expect(stdout).not.toContain('hunter22')
  expect(database.connections()).toBe(0)
})

describe('run', () => {
  async function settings() {
    const [database, kafka] = [await silentServer(), await silentServer()]
    const env = {
      WAL_PREFIX: 'shop',
      MASTER_DATABASE_URL: `postgres://app:db-hunter22@127.0.0.1:${database.port}/shop?sslmode=disable`,
      KAFKA_BROKERS: `127.0.0.1:${kafka.port}`,
      SEND_RECORD: '7',
      HTTP_HOST: '127.0.0.1',
      WAL_HEALTH_PORT: '0',
      METRICS_PORT: '0',
      DRAIN_TIMEOUT_MS: '0',
    }
    return { database, kafka, env }
  }

  /** The first log line with this message, as an object. */
  async function whenLogged(child: ChildProcess, message: string): Promise<Record<string, unknown>> {
    for await (const line of createInterface({ input: child.stdout! })) {
      const fields = JSON.parse(line) as Record<string, unknown>
      if (fields['msg'] === message) return fields
    }
    throw new Error(`the process ended without saying: ${message}`)
  }

  test('answers HTTP while its servers do not; SIGTERM ends it with 0, though the clients do not close', {
    timeout: SLOW,
  }, async () => {
    const { database, env } = await settings()
    const { child, ended } = start([], env)
    const { healthPort } = await whenLogged(child, 'factlib-relay starts')
    await database.whenConnected
    const ask = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${healthPort}${path}`)
      return { status: response.status, body: await response.text() }
    }
    expect(await ask('/health')).toMatchObject({ status: 503, body: expect.stringMatching(/^Not OK: /) })
    expect(await ask('/livez')).toEqual({ status: 200, body: 'OK' })
    expect(await ask('/metrics')).toMatchObject({
      status: 200,
      body: expect.stringContaining('# TYPE factlib_events_consumed_total counter'),
    })
    child.kill('SIGTERM')
    const { code, stdout, stderr } = await ended
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const line of stdout.trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('msg')
    expect(stdout).toContain('did you mean SEND_RECORDS?')
    expect(stdout).not.toContain('hunter22')
  })

  test('a second signal ends it at once', { timeout: SLOW }, async () => {
    const { env } = await settings()
    const { child, ended } = start([], { ...env, DRAIN_TIMEOUT_MS: '3600000' })
    await whenLogged(child, 'factlib-relay starts')
    // Both before the process can have stopped by itself: they are delivered in one go when it continues.
    child.kill('SIGSTOP')
    child.kill('SIGINT')
    child.kill('SIGTERM')
    child.kill('SIGCONT')
    const { code, stdout } = await ended
    expect([130, 143]).toContain(code)
    expect(stdout).toContain('second signal')
  })

  test('ports in use end it with 75, so that it is started again, and with the names of the settings, before the relay connects', {
    timeout: SLOW,
  }, async () => {
    const { database, kafka, env } = await settings()
    const taken = { WAL_HEALTH_PORT: String(database.port), METRICS_PORT: String(kafka.port) }
    const { code, stderr } = await start([], { ...env, ...taken }).ended
    expect(code).toBe(75)
    expect(stderr).toContain(`WAL_HEALTH_PORT: port ${database.port} is in use`)
    expect(stderr).toContain(`METRICS_PORT: port ${kafka.port} is in use`)
    expect(stderr).not.toMatch(/^\s+at /m)
    expect(database.connections() + kafka.connections()).toBe(0)
  })

  test('a defect is one line in the log and exit 70', { timeout: SLOW }, async () => {
    const { env } = await settings()
    writeFileSync(
      join(folder, 'factlib-relay.config.mjs'),
      'export default {}; process.on("SIGUSR2", () => { Promise.reject(new Error("boom: db-hunter22")) })',
    )
    const { child, ended } = start([], env)
    await whenLogged(child, 'factlib-relay starts')
    child.kill('SIGUSR2')
    const { code, stdout, stderr } = await ended
    expect({ code, stderr }).toEqual({ code: 70, stderr: '' })
    const last = JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, unknown>
    expect(last).toMatchObject({
      level: 'error',
      kind: 'unhandledRejection',
      error: { message: expect.stringContaining('boom') },
    })
    expect(stdout).not.toContain('db-hunter22')
  })
})
