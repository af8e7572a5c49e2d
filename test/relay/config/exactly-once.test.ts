import { expect, test } from 'vitest'
import { parseRelaySettings } from '../../../relay/config/settings.ts'
import { ConfigurationError } from '../../../src/errors.ts'

const NEEDED = { WAL_PREFIX: 'shop', MASTER_DATABASE_URL: 'postgres://app@db/shop?sslmode=disable' }
const parse = (env: Record<string, string>, file?: object) =>
  parseRelaySettings({
    env: { ...NEEDED, ...env },
    file: file === undefined ? undefined : { path: 'relay.mjs', options: { ...file } },
  })

function problems(env: Record<string, string>, file?: object): readonly string[] {
  try {
    parse({ EXACTLY_ONCE: 'true', ...env }, file)
    return []
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems
    throw error
  }
}

test('exactly once is off; on, it has a topic of its own and says that it is experimental', () => {
  expect(parse({}).settings).not.toHaveProperty('exactlyOnce')
  const { settings, warnings } = parse({ EXACTLY_ONCE: 'true' })
  expect(settings.exactlyOnce).toEqual({ topic: 'factlib.positions' })
  expect(warnings).toEqual(['EXACTLY_ONCE is experimental'])
  expect(parse({ EXACTLY_ONCE: 'true', EXACTLY_ONCE_TOPIC: 'shop.at' }).settings.exactlyOnce?.topic).toBe('shop.at')
})

test('a topic without the mode means nothing, and that is said', () => {
  expect(parse({ EXACTLY_ONCE_TOPIC: 'shop.at' }).warnings).toEqual([
    'EXACTLY_ONCE_TOPIC has no effect while EXACTLY_ONCE is not true',
  ])
})

test.each<[string, Record<string, string>, object | undefined, RegExp]>([
  ['the other client', { KAFKA_CLIENT: 'platformatic' }, undefined, /kafkajs only: take KAFKA_CLIENT=kafkajs or auto/],
  ['a handler', {}, { routes: [{ aggregateType: 'a', handle() {} }] }, /cannot hold for routes with a handler/],
  [
    'blocked keys',
    { DEAD_LETTER_TOPIC: 'dead', DEAD_LETTER_KEYS: 'block-key' },
    undefined,
    /does not know DEAD_LETTER_KEYS=block-key yet/,
  ],
  ['a bad topic', { EXACTLY_ONCE_TOPIC: 'a b' }, undefined, /EXACTLY_ONCE_TOPIC must be a Kafka topic of its own/],
  [
    'the dead letters’ topic',
    { EXACTLY_ONCE_TOPIC: 'dead', DEAD_LETTER_TOPIC: 'dead' },
    undefined,
    /EXACTLY_ONCE_TOPIC must be a Kafka topic of its own/,
  ],
])('%s does not go with it', (_, env, file, expected) => {
  expect(problems(env, file)).toEqual([expect.stringMatching(expected)])
})

test('routes to topics, auto and a dead-letter topic do', () => {
  const env = { KAFKA_CLIENT: 'auto', DEAD_LETTER_TOPIC: 'dead' }
  expect(problems(env, { routes: [{ aggregateType: 'a', topic: 't' }] })).toEqual([])
})
