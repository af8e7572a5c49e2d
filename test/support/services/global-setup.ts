import type { TestProject } from 'vitest/node'
import { providePostgres } from './provide.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Superuser's URL of the PostgreSQL of the run (18, unless FACTLIB_TEST_DATABASE_URL names another). */
    postgresUrl: string
    /** `host:port` of the plain-text listeners of the Kafka of the run. */
    kafkaBrokers: string[]
  }
}

/** Starts one PostgreSQL and one Kafka broker for the run; vitest calls it before the first file of the project. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const postgres = await providePostgres()
  project.provide('postgresUrl', postgres.url)
  return () => postgres.stop()
}
