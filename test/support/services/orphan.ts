// Run by watchdog.e2e.test.ts and killed: starts both servers, says what must be gone afterwards, and waits.
import { startKafka } from './kafka.ts'
import { startPostgres } from './postgres.ts'

const [postgres, kafka] = await Promise.all([startPostgres({ name: 'orphan' }), startKafka({ name: 'orphan' })])
console.log(JSON.stringify({ pids: [postgres.pid, kafka.brokers[0]?.pid], folders: [postgres.dataDir] }))
setInterval(() => {}, 60_000)
