import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { OPTION_ROWS, RELAY_OPTIONS } from '../../../relay/config/options.ts'
import { renderOptionsDoc } from '../../../relay/config/options-doc.ts'
import { parseRelayOptions, parseRelaySettings, type RelayOptions } from '../../../relay/config/settings.ts'
import { ConfigurationError } from '../../../src/errors.ts'

const NEEDED = { WAL_PREFIX: 'shop', MASTER_DATABASE_URL: 'postgres://app:db-secret@db/shop?sslmode=disable' }
const PEM = '-----BEGIN CERTIFICATE-----\nbm90IHJlYWw=\n-----END CERTIFICATE-----\n'

function parse(
  env: Record<string, string>,
  more: { flags?: object; file?: object; files?: Record<string, string> } = {},
) {
  return parseRelaySettings({
    env: { ...NEEDED, ...env },
    flags: { ...more.flags },
    file: more.file === undefined ? undefined : { path: 'relay.json', options: { ...more.file } },
    readFile: (path) => {
      const text = more.files?.[path]
      if (text === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
      return text
    },
  })
}

function problemsOf(work: () => unknown): readonly string[] {
  try {
    work()
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems
    throw error
  }
  return []
}

test("OwlPost's variables alone give OwlPost's defaults", () => {
  const { settings, http, logLevel, warnings } = parse({})
  expect(settings).toMatchObject({
    prefixes: ['shop'],
    slot: 'factlib_slot',
    publication: 'facts',
    slotCreate: 'first',
    kafka: { clientId: 'owlpost.westeros', brokers: ['localhost:9093'], tls: false, compression: 'none' },
    windowFacts: 20_000,
    windowBytes: 64 * 1024 * 1024,
    sendRecords: 500,
    sendBytes: 900_000,
    drainTimeoutMs: 10_000,
  })
  expect(settings.kafka).not.toHaveProperty('sasl')
  expect(settings.kafka).not.toHaveProperty('createTopics')
  expect({ http, logLevel, warnings }).toEqual({
    http: { host: undefined, healthPort: 3001, metricsPort: 2112 },
    logLevel: 'info',
    warnings: [],
  })
})

test('KAFKA_SSL=true with a user means TLS 1.2 or newer and SCRAM-SHA-512', () => {
  const { settings, warnings } = parse({ KAFKA_SSL: 'true', KAFKA_USERNAME: 'relay', KAFKA_PASSWORD: 'kafka-secret' })
  expect(settings.kafka.tls).toEqual({ minVersion: 'TLSv1.2' })
  expect(settings.kafka.sasl).toEqual({ mechanism: 'scram-sha-512', username: 'relay', password: 'kafka-secret' })
  expect(warnings).toEqual([])
})

test("an authority's certificate is read and reaches the client", () => {
  const ca = readFileSync(new URL('ca.pem', import.meta.url), 'utf8')
  const { settings } = parse({ KAFKA_SSL: 'true', KAFKA_SSL_CA: '/ca' }, { files: { '/ca': ca } })
  expect(settings.kafka.tls).toEqual({ minVersion: 'TLSv1.2', ca })
  expect(settings.kafka).not.toHaveProperty('sasl')
  const MASTER_DATABASE_URL = 'postgres://db/shop?sslmode=verify-full&sslrootcert=/ca'
  expect(parse({ MASTER_DATABASE_URL }, { files: { '/ca': ca } }).settings.database.ssl).toEqual({ ca })
})

test('a user without TLS authenticates in plain text, and is told so', () => {
  const { settings, warnings } = parse({
    KAFKA_SASL_MECHANISM: 'PLAIN',
    KAFKA_USERNAME: 'relay',
    KAFKA_PASSWORD: 'kafka-secret',
  })
  expect(settings.kafka.sasl?.mechanism).toBe('plain')
  expect(warnings).toEqual([
    expect.stringMatching(
      /KAFKA_USERNAME is set, but KAFKA_SSL is not true: .*without encryption, so that the password can be read/,
    ),
  ])
})

test('topics are created with what is given, else with what the brokers have', () => {
  expect(parse({ KAFKA_CREATE_TOPICS: 'true' }).settings.kafka.createTopics).toEqual({
    partitions: -1,
    replicationFactor: -1,
  })
  const given = { KAFKA_CREATE_TOPICS: 'T', KAFKA_TOPIC_PARTITIONS: '12', KAFKA_TOPIC_REPLICATION_FACTOR: '3' }
  expect(parse(given).settings.kafka.createTopics).toEqual({ partitions: 12, replicationFactor: 3 })
  expect(parse({ KAFKA_TOPIC_PARTITIONS: '12' }).warnings).toEqual([
    'KAFKA_TOPIC_PARTITIONS has no effect while KAFKA_CREATE_TOPICS is not true',
  ])
})

describe('which source wins', () => {
  const slot = (env: Record<string, string>, more = {}) => parse(env, more).settings.slot
  test('flag, then variable, then file, then default', () => {
    const file = { slotName: 'from_file' }
    const flags = { slotName: 'from_flag' }
    expect(slot({ REPLICATION_SLOT_NAME: 'from_env' }, { flags, file })).toBe('from_flag')
    expect(slot({ REPLICATION_SLOT_NAME: 'from_env' }, { file })).toBe('from_env')
    expect(slot({}, { file })).toBe('from_file')
    expect(slot({})).toBe('factlib_slot')
  })
  test('an empty variable is not set', () => {
    expect(slot({ REPLICATION_SLOT_NAME: '' })).toBe('factlib_slot')
    expect(slot({ REPLICATION_SLOT_NAME: ' ' }, { file: { slotName: 'from_file' } })).toBe('from_file')
  })
  test('of several variables the first that is set', () => {
    expect(parse({ WAL_PREFIX: 'a', FACTLIB_PREFIX: 'b' }).settings.prefixes).toEqual(['a'])
    expect(parse({ WAL_PREFIX: '', FACTLIB_PREFIX: 'b' }).settings.prefixes).toEqual(['b'])
    expect(parse({ MASTER_DATABASE_URL: '', DATABASE_URL: 'postgres://other/d' }).settings.database.hosts).toEqual([
      { host: 'other', port: 5432 },
    ])
  })
  test('check-config is told where each comes from, with secrets masked', () => {
    const { effective, secrets } = parse(
      { KAFKA_USERNAME: 'relay', KAFKA_PASSWORD: 'kafka-secret' },
      { file: { slotName: 'x' }, flags: { prefix: 'y' } },
    )
    const of = (key: string) => effective.find((row) => row.key === key)
    expect(of('prefix')).toEqual({ key: 'prefix', value: 'y', from: '--prefix' })
    expect(of('slotName')).toEqual({ key: 'slotName', value: 'x', from: 'slotName in relay.json' })
    expect(of('publicationName')).toEqual({ key: 'publicationName', value: 'facts', from: 'default' })
    expect(of('kafkaPassword')?.value).toBe('***')
    expect(of('databaseUrl')?.value).toBe('postgres://app:***@db:5432/shop (sslmode=disable)')
    expect(JSON.stringify(effective)).not.toContain('secret')
    expect(secrets).toEqual(expect.arrayContaining(['db-secret', 'kafka-secret']))
  })
})

describe('problems, each by the name that the user wrote', () => {
  const table: [what: string, problem: RegExp, env: Record<string, string>, more?: Parameters<typeof parse>[1]][] = [
    [
      'no prefix',
      /^WAL_PREFIX is not set \(also: FACTLIB_PREFIX, --prefix, prefix in a config file\)/,
      { WAL_PREFIX: '' },
    ],
    ['no database', /^MASTER_DATABASE_URL is not set \(also: DATABASE_URL/, { MASTER_DATABASE_URL: '' }],
    [
      'a bad database URL',
      /^MASTER_DATABASE_URL: the port is not a number/,
      { MASTER_DATABASE_URL: 'postgres://a:b@h:x/d' },
    ],
    [
      'the second name',
      /^DATABASE_URL: unknown parameter "x"/,
      { MASTER_DATABASE_URL: '', DATABASE_URL: 'postgres://h/d?x=1' },
    ],
    ['a prefix that no topic can have', /^WAL_PREFIX: prefix has characters/, { WAL_PREFIX: '"shop"' }],
    ['a star among others', /^WAL_PREFIX: "\*" means every prefix/, { WAL_PREFIX: 'a,*' }],
    ['a hole in a list', /^KAFKA_BROKERS has an empty place/, { KAFKA_BROKERS: 'a:1,,b:1' }],
    ['a broker without a port', /^KAFKA_BROKERS: the broker "kafka" needs a port/, { KAFKA_BROKERS: 'kafka' }],
    ['a broker with a scheme', /^KAFKA_BROKERS: .*without a scheme/, { KAFKA_BROKERS: 'SASL_SSL://kafka:9092' }],
    ['an IPv6 broker', /^KAFKA_BROKERS: .*IPv6/, { KAFKA_BROKERS: '[::1]:9092' }],
    ['a flag', /^--kafka-brokers: the broker "kafka"/, {}, { flags: { kafkaBrokers: 'kafka' } }],
    [
      'a key of the file',
      /^windowFacts in relay.json must be a whole number from 1 to 10000000, but is "many"/,
      {},
      { file: { windowFacts: 'many' } },
    ],
    ['a port', /^WAL_HEALTH_PORT must be a whole number from 0 to 65535, but is "70000"/, { WAL_HEALTH_PORT: '70000' }],
    [
      'a choice',
      /^SLOT_CREATE must be one of first, always, never, but is "frist"; did you mean "first"/,
      { SLOT_CREATE: 'frist' },
    ],
    ['a boolean', /^KAFKA_CREATE_TOPICS must be true or false, but is "maybe"/, { KAFKA_CREATE_TOPICS: 'maybe' }],
    ['a slot name', /^REPLICATION_SLOT_NAME must be 1 to 63 lower-case/, { REPLICATION_SLOT_NAME: 'My-Slot' }],
    ['a publication name', /^PUBLICATION_NAME must be at most 63 bytes/, { PUBLICATION_NAME: 'x'.repeat(64) }],
    ['a user alone', /^KAFKA_USERNAME is set, but KAFKA_PASSWORD is not/, { KAFKA_USERNAME: 'relay' }],
    ['a password alone', /^KAFKA_PASSWORD is set, but KAFKA_USERNAME is not/, { KAFKA_PASSWORD: 'p' }],
    ['a mechanism alone', /^KAFKA_SASL_MECHANISM is set, but KAFKA_USERNAME is not/, { KAFKA_SASL_MECHANISM: 'plain' }],
    ['a CA without TLS', /^KAFKA_SSL_CA is set, but KAFKA_SSL is not true/, { KAFKA_SSL_CA: '/ca' }],
    [
      'a CA that is not there',
      /^KAFKA_SSL_CA: the file cannot be read \(ENOENT\)/,
      { KAFKA_SSL: '1', KAFKA_SSL_CA: '/ca' },
    ],
    [
      'a certificate without key',
      /^KAFKA_SSL_CERT and KAFKA_SSL_KEY go together/,
      { KAFKA_SSL: '1', KAFKA_SSL_CERT: '/c' },
      { files: { '/c': PEM } },
    ],
    [
      'a CA that is no PEM',
      /^KAFKA_SSL_CA: the file of ca is not PEM/,
      { KAFKA_SSL: '1', KAFKA_SSL_CA: '/c' },
      { files: { '/c': 'der' } },
    ],
    [
      'a certificate that is none',
      /^KAFKA_SSL_CERT, KAFKA_SSL_KEY cannot be used \(ERR_/,
      { KAFKA_SSL: '1', KAFKA_SSL_CERT: '/c', KAFKA_SSL_KEY: '/c' },
      { files: { '/c': PEM } },
    ],
    [
      'an unknown key',
      /^relay.json: unknown option "slotNme"; did you mean "slotName"/,
      {},
      { file: { slotNme: 'x' } },
    ],
    [
      'a variable as a key',
      /^relay.json: unknown option "KAFKA_BROKERS"; did you mean "kafkaBrokers"/,
      {},
      { file: { KAFKA_BROKERS: 'x:1' } },
    ],
    ['an empty flag', /^--slot-name must not be empty/, {}, { flags: { slotName: '' } }],
    ['a route', /^routes\[0\] needs a topic or a handle/, {}, { file: { routes: [{ aggregateType: 'user' }] } }],
    ['a topic', /^routes\[0\].topic is no name/, {}, { file: { routes: [{ topic: 'a b' }] } }],
    ['a handle in JSON', /^routes\[0\].handle must be a function/, {}, { file: { routes: [{ handle: 'f' }] } }],
    [
      'a key of a route',
      /^routes\[0\].agregateType is unknown; did you mean "aggregateType"/,
      {},
      { file: { routes: [{ agregateType: 'a', topic: 't' }] } },
    ],
  ]
  for (const [what, problem, env, more] of table) {
    test(what, () => {
      const problems = problemsOf(() => parse(env, more))
      expect(problems).toContainEqual(expect.stringMatching(problem))
      if (what !== 'a certificate without key') expect(problems).toHaveLength(1)
    })
  }

  test('a secret of the wrong kind is not shown', () => {
    const problems = problemsOf(() => parse({}, { file: { kafkaUsername: 'u', kafkaPassword: 12345678 } }))
    expect(problems[0]).toBe('kafkaPassword in relay.json must be text')
    expect(problems.join()).not.toContain('1234')
  })

  test('all at once, and never with a secret', () => {
    const env = {
      WAL_PREFIX: '',
      MASTER_DATABASE_URL: 'postgres://u:db-secret@h:x/d',
      KAFKA_PASSWORD: 'kafka-secret',
      SEND_BYTES: '1',
      LOG_LEVEL: 'loud',
    }
    const problems = problemsOf(() => parse(env))
    expect(problems.map((problem) => problem.split(/[: ]/)[0])).toEqual([
      'WAL_PREFIX',
      'SEND_BYTES',
      'LOG_LEVEL',
      'MASTER_DATABASE_URL',
      'KAFKA_PASSWORD',
    ])
    expect(problems.join()).not.toContain('secret')
  })
})

test('a variable that is nearly one of ours is pointed out, one of ours that is set is not', () => {
  expect(parse({ KAFKA_BROKER: 'a:1' }).warnings).toEqual([
    "the variable KAFKA_BROKER is not one of the relay's; did you mean KAFKA_BROKERS?",
  ])
  expect(parse({ KAFKA_BROKER: 'a:1', KAFKA_BROKERS: 'b:1' }).warnings).toEqual([])
  expect(parse({ PATH: '/bin', HOME: '/', KAFKA_TOPIC: 'x' }).warnings).toEqual([])
})

test('log levels of other loggers are understood', () => {
  const level = (text: string) => parse({ LOG_LEVEL: text }).logLevel
  expect([level('INFO'), level('warning'), level('Trace'), level('fatal')]).toEqual(['info', 'warn', 'debug', 'error'])
})

test('a prefix that no topic can have is fine where routes name the topics', () => {
  const file = { routes: [{ prefix: 'my shop', topic: 'shop-facts' }] }
  expect(parse({ WAL_PREFIX: 'my shop' }, { file })).toMatchObject({
    settings: { prefixes: ['my shop'] },
    routes: file.routes,
  })
})

describe('createRelay', () => {
  test('takes the same options by key, over the environment', () => {
    const options = { prefix: ['shop', 'audit'], kafkaBrokers: ['a:1', 'b:2'], windowFacts: 7, kafkaSsl: true } as const
    const settings = parseRelayOptions(options, { env: { ...NEEDED, WINDOW_FACTS: '9', SEND_RECORDS: '3' } })
    expect(settings).toMatchObject({
      prefixes: ['shop', 'audit'],
      windowFacts: 7,
      sendRecords: 3,
      kafka: { brokers: ['a:1', 'b:2'], tls: {} },
    })
  })
  test('does not change the object, and takes a frozen one', () => {
    const options = Object.freeze({
      prefix: Object.freeze(['shop']),
      routes: Object.freeze([Object.freeze({ topic: 't' })]),
    })
    const before = structuredClone(options)
    parseRelayOptions(options, { env: NEEDED })
    expect(options).toEqual(before)
  })
  test('rejects unknown options, options of the process, and names options by key', () => {
    const options = { prefx: 'shop', healthPort: 1, slotName: 'A', databaseUrl: '' } as unknown as RelayOptions
    expect(problemsOf(() => parseRelayOptions(options, { env: {} }))).toEqual([
      'unknown option "prefx"; did you mean "prefix"?',
      '"healthPort" is an option of the factlib-relay process, not of createRelay',
      expect.stringMatching(/^prefix is not set \(also: WAL_PREFIX, FACTLIB_PREFIX\)/),
      'databaseUrl must not be empty: leave it out, or give a value',
      expect.stringMatching(/^slotName must be 1 to 63/),
    ])
  })
  test('is not disturbed by wrong variables of the process alone', () => {
    expect(parseRelayOptions({}, { env: { ...NEEDED, WAL_HEALTH_PORT: 'x', LOG_LEVEL: 'loud' } }).prefixes).toEqual([
      'shop',
    ])
  })
  test('warns through the logger', () => {
    const warned: string[] = []
    const quiet = { debug() {}, info() {}, error() {}, warn: (_: object, message: string) => void warned.push(message) }
    parseRelayOptions({ kafkaUsername: 'u', kafkaPassword: 'p', logger: quiet }, { env: NEEDED })
    expect(warned).toEqual([expect.stringContaining('without encryption')])
  })
})

describe('the table', () => {
  test('names are unique, flags are the kebab form of keys, secrets of their own have no flag', () => {
    for (const names of [RELAY_OPTIONS.map(({ key }) => key), OPTION_ROWS.flatMap(({ env }) => env)]) {
      expect(new Set<string>(names).size).toBe(names.length)
    }
    for (const { key, flag } of OPTION_ROWS) {
      if (key === 'kafkaPassword' || key === 'consoleToken') expect(flag).toBeUndefined()
      else expect(flag).toBe(`--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`)
    }
  })
  test('docs/options.md is current (npx tsx scripts/docs-relay.ts)', () => {
    expect(readFileSync(new URL('../../../docs/options.md', import.meta.url), 'utf8')).toBe(renderOptionsDoc())
  })
})
