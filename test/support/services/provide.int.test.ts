import { afterEach, expect, inject, test, vi } from 'vitest'
import { registerCleanup } from '../cleanup.ts'
import { startPostgres } from './postgres.ts'
import { provideKafka, providePostgres } from './provide.ts'

afterEach(() => {
  vi.unstubAllEnvs()
})

test('the named servers are used as they are, and DATABASE_URL never', async () => {
  vi.stubEnv('DATABASE_URL', 'postgres://127.0.0.1:1/anybody')
  vi.stubEnv('FACTLIB_TEST_DATABASE_URL', inject('postgresUrl'))
  vi.stubEnv('FACTLIB_TEST_KAFKA_BROKERS', inject('kafkaBrokers').join(', '))
  expect((await providePostgres()).url).toBe(inject('postgresUrl'))
  expect((await provideKafka()).brokers).toEqual(inject('kafkaBrokers'))
})

test('named servers that do not answer or do not fit are an error, without the password', async () => {
  vi.stubEnv('FACTLIB_TEST_DATABASE_URL', 'postgres://postgres:secret@127.0.0.1:1/postgres')
  vi.stubEnv('FACTLIB_TEST_KAFKA_BROKERS', '127.0.0.1:1')
  await expect(providePostgres()).rejects.toThrow(/^FACTLIB_TEST_DATABASE_URL cannot be used: (?!.*secret)/)
  await expect(provideKafka()).rejects.toThrow('FACTLIB_TEST_KAFKA_BROKERS cannot be used: 127.0.0.1:1 does not answer')
  const replica = await startPostgres({ name: 'replica', settings: { wal_level: 'replica' } })
  registerCleanup(() => replica.remove())
  vi.stubEnv('FACTLIB_TEST_DATABASE_URL', replica.url)
  await expect(providePostgres()).rejects.toThrow('its wal_level is replica')
})

test('where nothing is found, one error lists all the ways', async () => {
  vi.stubEnv('FACTLIB_TEST_KAFKA_BROKERS', '')
  vi.stubEnv('JAVA_HOME', '')
  vi.stubEnv('PATH', '')
  const error = await provideKafka().catch((failure: Error) => failure)
  const { message } = error as Error
  expect(message).toContain('Java is not installed (Kafka 4 needs Java 17 or newer); no Docker engine answers')
  for (const way of ['Maven', 'FACTLIB_MAVEN_REPOSITORY', 'Docker', 'FACTLIB_TEST_KAFKA_BROKERS']) {
    expect(message).toMatch(new RegExp(`^  \\d\\..*${way}`, 'm'))
  }
})
