import { describe, expect, test } from 'vitest'
import { type DatabaseUrlContext, parseDatabaseUrl } from '../../../relay/config/database-url.ts'
import { ConfigurationError } from '../../../src/errors.ts'

const FILES: Record<string, string> = {
  '/ca.pem': 'CA',
  '/cert.pem': 'CERT',
  '/key.pem': 'KEY',
  '/home/me/.postgresql/root.crt': 'HOME CA',
}

function context(env: Record<string, string> = {}, home = '/nowhere'): DatabaseUrlContext {
  return {
    env,
    home,
    osUser: 'me',
    readFile: (path) => {
      const text = FILES[path]
      if (text === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
      return text
    },
  }
}

function problemsOf(text: string, env?: Record<string, string>): string[] {
  try {
    parseDatabaseUrl(text, context(env))
  } catch (error) {
    if (error instanceof ConfigurationError) return [...error.problems]
    throw error
  }
  return []
}

const PLAIN = {
  hosts: [{ host: 'db', port: 5432 }],
  user: 'app',
  database: 'shop',
  applicationName: 'factlib-relay',
  sslMode: 'prefer',
  connectTimeoutMs: 10_000,
}

describe('targets', () => {
  const table: [text: string, differs: object, env?: Record<string, string>][] = [
    ['postgres://app@db/shop', {}],
    ['host=db user=app dbname=shop', {}],
    ['postgres://app:pw@db/shop', { password: 'pw' }],
    ['postgres://app@db', { database: 'app' }],
    ['postgres://db/shop', { user: 'me' }],
    ['postgres://app@db:6432/shop', { hosts: [{ host: 'db', port: 6432 }] }],
    [
      'postgres://app@a:1,b,c:3/shop',
      {
        hosts: [
          { host: 'a', port: 1 },
          { host: 'b', port: 5432 },
          { host: 'c', port: 3 },
        ],
      },
    ],
    [
      'host=a,b port=7 user=app dbname=shop',
      {
        hosts: [
          { host: 'a', port: 7 },
          { host: 'b', port: 7 },
        ],
      },
    ],
    ['postgres://app@[2001:db8::1]:7/shop', { hosts: [{ host: '2001:db8::1', port: 7 }] }],
    ['postgres://app@%2Frun%2Fpg/shop', { hosts: [{ host: '/run/pg', port: 5432 }] }],
    ['postgres://app@/shop?host=/run/pg&port=7', { hosts: [{ host: '/run/pg', port: 7 }] }],
    [
      'postgres://app@/shop',
      { hosts: ['/var/run/postgresql', '/tmp', 'localhost'].map((host) => ({ host, port: 5432 })) },
    ],
    ['postgres://app@db/shop?hostaddr=10.0.0.1', { hosts: [{ host: 'db', port: 5432, address: '10.0.0.1' }] }],
    ['hostaddr=10.0.0.1 user=app dbname=shop', { hosts: [{ host: '10.0.0.1', port: 5432 }] }],
    ['postgres://app@db/shop?application_name=x', { applicationName: 'x' }],
    ['postgres://app@db/shop?connect_timeout=3', { connectTimeoutMs: 3_000 }],
    ['postgres://app@db/shop?connect_timeout=0', { connectTimeoutMs: 0 }],
    ['postgres://app@db/shop?options=-c%20a%3Db', { options: '-c a=b' }],
    ['postgres://app@db/shop?channel_binding=require&sslmode=require', { channelBinding: true, sslMode: 'require' }],
    ['postgres://app@db/shop?sslmode=require&sslnegotiation=direct', { sslNegotiation: 'direct', sslMode: 'require' }],
    ['postgres://app@db/shop?target_session_attrs=read-write', {}],
    ['postgres://app@db/shop?schema=public&pgbouncer=true&connection_limit=5&pool_timeout=2', {}],
    ['postgres://app@db/shop?sslmode=disable&sslrootcert=/missing', { sslMode: 'disable' }],
    ['postgres://app@db/shop?sslmode=verify-full&sslrootcert=/ca.pem', { sslMode: 'verify-full', ssl: { ca: 'CA' } }],
    ['postgres://app@db/shop?sslmode=verify-full&sslrootcert=system', { sslMode: 'verify-full' }],
    ['postgres://app@db/shop?sslmode=no-verify&sslrootcert=/ca.pem', { sslMode: 'require' }],
    [
      'postgres://app@db/shop?sslmode=require&sslcert=/cert.pem&sslkey=/key.pem',
      { sslMode: 'require', ssl: { cert: 'CERT', key: 'KEY' } },
    ],
    [
      'postgres://app@db/shop?sslmode=require&sslcert=/ca.pem&sslaccept=strict',
      { sslMode: 'verify-full', ssl: { ca: 'CA' } },
    ],
    ['postgres://app@db/shop?ssl_min_protocol_version=TLSv1.3', { ssl: { minVersion: 'TLSv1.3' } }],
    [
      'user=app',
      { database: 'shop', sslMode: 'require', password: 'p' },
      { PGHOST: 'db', PGDATABASE: 'shop', PGSSLMODE: 'require', PGPASSWORD: 'p' },
    ],
    ['postgres://app@db/shop', {}, { PGHOST: 'other', PGUSER: 'other', PGDATABASE: 'other' }],
  ]
  for (const [text, differs, env] of table) {
    test(`${text}${env === undefined ? '' : ` with ${Object.keys(env)}`}`, () => {
      expect(parseDatabaseUrl(text, context(env))).toEqual({ ...PLAIN, ...differs })
    })
  }

  test("libpq's own root.crt turns require into a verification, and prefer not", () => {
    expect(parseDatabaseUrl('postgres://db/shop?sslmode=require', context({}, '/home/me')).ssl).toEqual({
      ca: 'HOME CA',
    })
    expect(parseDatabaseUrl('postgres://db/shop', context({}, '/home/me')).ssl).toBeUndefined()
  })
})

describe('problems', () => {
  const table: [text: string, ...problems: RegExp[]][] = [
    ['postgres://h:99999/d', /^the port is not a number from 1 to 65535/],
    ['postgres://h:0/d', /^the port/],
    ['host=a,b port=1,2,3', /^2 hosts but 3 ports/],
    ['host=a,b hostaddr=10.0.0.1', /^2 hosts but 1 addresses/],
    ['postgres://h/d?sslmode=on', /^sslmode must be one of disable, allow/],
    ['postgres://h/d?sslmod=require', /^unknown parameter "sslmod"; did you mean "sslmode"/],
    [
      'postgres://h/d?target_session_attrs=standby',
      /^target_session_attrs: the relay reads from the server that takes writes/,
    ],
    ['postgres://h/d?gssencmode=require', /^gssencmode=require/],
    ['postgres://h/d?service=x', /^service is not supported: .*pg_service/],
    ['postgres://h/d?require_auth=none', /^require_auth is not supported/],
    ['postgres://h/d?connect_timeout=soon', /^connect_timeout must be/],
    ['postgres://h/d?sslmode=verify-ca&sslrootcert=/gone', /^sslrootcert: the file cannot be read \(ENOENT\)/],
    ['postgres://h/d?sslcert=/cert.pem', /^sslcert is given without its private key/],
    ['postgres://h/d?sslnegotiation=direct', /^sslnegotiation=direct needs/],
    ['postgres://h/d?sslrootcert=system&sslmode=require', /^sslrootcert=system needs/],
    ['host=@abstract', /abstract Unix socket/],
    ['postgres://h:x/d?sslmode=on&foo=1', /^unknown parameter "foo"/, /^the port/, /^sslmode/],
  ]
  for (const [text, ...expected] of table) {
    test(text, () => {
      const problems = problemsOf(text)
      expect(problems).toHaveLength(expected.length)
      for (const [index, pattern] of expected.entries()) expect(problems[index]).toMatch(pattern)
    })
  }

  test('a problem of a variable is told by the name of the variable', () => {
    expect(problemsOf('postgres://h/d', { PGSSLMODE: 'sometimes' })).toEqual([
      expect.stringMatching(/^PGSSLMODE must be/),
    ])
  })

  test('however a password is misplaced, no piece of it is in a message', () => {
    const pieces = ['hunter', 'zwei', 'drei']
    for (const mark of [
      '@',
      ':',
      '/',
      '?',
      '#',
      '%',
      '&',
      '=',
      ',',
      ' ',
      '[',
      ']',
      "'",
      '\\',
      '@/',
      '/?',
      '/?x=',
      '?a=b&',
      '/5432?',
      ':1/',
    ]) {
      const password = pieces.join(mark)
      for (const text of [
        `postgres://app:${password}@db/shop`,
        `postgresql://app:1${mark}${password}@db:1/d?x=1`,
        `host=db password=${password} dbnam=x`,
        'host=db password=hunter zwei=drei',
      ]) {
        for (const problem of problemsOf(text)) {
          for (const piece of pieces) expect(problem, text).not.toContain(piece)
        }
      }
    }
  })
})
