import { expect, test } from 'vitest'
import { parseDatabaseUrl } from '../../../relay/config/database-url.ts'
import { connectionAttempts, mayTryAnotherHost, toPgConfig } from '../../../relay/config/pg-config.ts'

function target(text: string) {
  return parseDatabaseUrl(text, {
    env: {},
    osUser: 'me',
    home: '/nowhere',
    readFile: (path) => (path === '/ca.pem' ? 'CA' : fail()),
  })
}

function fail(): never {
  throw new Error('no such file')
}

test('attempts follow libpq: hosts in order, the two ways of prefer and allow, sockets in plain text', () => {
  const attempts = (text: string) =>
    connectionAttempts(target(text)).map(({ host, tls }) => `${host} ${tls ? 'tls' : 'plain'}`)
  expect(attempts('postgres://a,b/d')).toEqual(['a tls', 'a plain', 'b tls', 'b plain'])
  expect(attempts('postgres://a/d?sslmode=allow')).toEqual(['a plain', 'a tls'])
  expect(attempts('postgres://a/d?sslmode=disable')).toEqual(['a plain'])
  for (const mode of ['require', 'verify-ca', 'verify-full'])
    expect(attempts(`postgres://a/d?sslmode=${mode}`)).toEqual(['a tls'])
  expect(attempts('host=/run/pg,a sslmode=require')).toEqual(['/run/pg plain', 'a tls'])
})

test('TLS verifies as much as libpq does in each mode', () => {
  const ssl = (text: string) => {
    const parsed = target(text)
    const { ssl } = toPgConfig(parsed, parsed.hosts[0]!)
    if (typeof ssl !== 'object') return ssl
    return {
      ca: ssl.ca,
      chain: ssl.rejectUnauthorized,
      name: ssl.rejectUnauthorized && ssl.checkServerIdentity === undefined,
      sni: ssl.servername,
    }
  }
  const none = { ca: undefined, chain: false, name: false, sni: undefined }
  expect(ssl('postgres://a/d?sslmode=disable')).toBe(false)
  expect(ssl('postgres://a/d?sslmode=allow')).toBe(false)
  expect(ssl('postgres://a/d')).toEqual(none)
  expect(ssl('postgres://a/d?sslmode=require')).toEqual(none)
  expect(ssl('postgres://a/d?sslmode=require&sslrootcert=/ca.pem')).toEqual({ ...none, ca: 'CA', chain: true })
  expect(ssl('postgres://a/d?sslmode=verify-ca&sslrootcert=/ca.pem')).toEqual({ ...none, ca: 'CA', chain: true })
  expect(ssl('postgres://a/d?sslmode=verify-full')).toEqual({ ...none, chain: true, name: true })
  expect(ssl('postgres://a/d?sslmode=verify-full&hostaddr=10.0.0.1')).toEqual({
    ...none,
    chain: true,
    name: true,
    sni: 'a',
  })
})

test('the rest of the target reaches pg', () => {
  const parsed = target(
    'postgres://app:pw@db:7/shop?options=-c%20a%3Db&channel_binding=require&connect_timeout=3&sslmode=disable&hostaddr=10.0.0.1',
  )
  expect(toPgConfig(parsed, parsed.hosts[0]!)).toEqual({
    host: '10.0.0.1',
    port: 7,
    user: 'app',
    password: 'pw',
    database: 'shop',
    application_name: 'factlib-relay',
    connectionTimeoutMillis: 3_000,
    keepAlive: true,
    options: '-c a=b',
    enableChannelBinding: true,
    ssl: false,
  })
})

test('another host is tried after a broken network and a server that starts, not after a no', () => {
  expect(mayTryAnotherHost(Object.assign(new Error(), { code: 'ECONNREFUSED' }))).toBe(true)
  expect(mayTryAnotherHost(Object.assign(new Error(), { code: 'EPIPE' }))).toBe(true)
  expect(mayTryAnotherHost(Object.assign(new Error(), { code: '57P03', severity: 'FATAL' }))).toBe(true)
  expect(mayTryAnotherHost(Object.assign(new Error(), { code: '28P01', severity: 'FATAL' }))).toBe(false)
  expect(mayTryAnotherHost(undefined)).toBe(true)
})
