// `npm run services`: a PostgreSQL and a Kafka until Ctrl-C, with the variables that make the tests use them.
import { provideKafka, providePostgres } from '../test/support/services/provide.ts'

const [postgres, kafka] = await Promise.all([providePostgres(), provideKafka()])
console.log(`PostgreSQL  ${postgres.url}`)
console.log(`Kafka       ${kafka.brokers.join(',')}`)
console.log('\nTests start faster on them:')
console.log(`  export FACTLIB_TEST_DATABASE_URL=${postgres.url} FACTLIB_TEST_KAFKA_BROKERS=${kafka.brokers.join(',')}`)
console.log('\nCtrl-C stops both and deletes their data.')

await new Promise<void>((resolve) => {
  // A signal's listener alone does not keep a process alive.
  const open = setInterval(() => {}, 60_000)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      clearInterval(open)
      resolve()
    })
  }
})
await Promise.all([postgres.stop(), kafka.stop()])
