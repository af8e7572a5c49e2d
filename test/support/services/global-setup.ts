import type { TestProject } from 'vitest/node'
import { provideKafka, providePostgres } from './provide.ts'

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
  // Both to their end, so that a failure of one does not leave the other behind.
  const started = await Promise.allSettled([providePostgres(), provideKafka()])
  const [postgres, kafka] = started
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((service) => (service.status === 'fulfilled' ? service.value.stop() : undefined)))
  }
  if (postgres.status === 'fulfilled' && kafka.status === 'fulfilled') {
    project.provide('postgresUrl', postgres.value.url)
    project.provide('kafkaBrokers', kafka.value.brokers)
    return stop
  }
  await stop()
  throw postgres.status === 'rejected' ? postgres.reason : (kafka as PromiseRejectedResult).reason
}
