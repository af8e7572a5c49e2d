// What test/bench/owlpost.e2e.test.ts names in OWLPOST: a stand-in that knows what OwlPost's operators tell it, no more.
import { startOwlPostStandIn } from '../support/owlpost-stand-in.ts'

const setting = (name: string): string => {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set`)
  return value
}
for (const name of ['APP_NAME', 'SRC_SERVICE_NAME', 'WAL_HEALTH_PORT', 'METRICS_PORT', 'LOG_LEVEL']) setting(name)
const relay = await startOwlPostStandIn({
  databaseUrl: setting('MASTER_DATABASE_URL'),
  slot: setting('REPLICATION_SLOT_NAME'),
  publication: setting('PUBLICATION_NAME'),
  prefix: setting('WAL_PREFIX'),
  brokers: setting('KAFKA_BROKERS').split(','),
})
process.once('SIGTERM', async () => {
  await relay.stop()
  process.exit(0)
})
