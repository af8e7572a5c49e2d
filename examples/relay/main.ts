// In your project: from 'factlib/relay'
import { createRelay } from '../../relay/index.ts'

const relay = createRelay({
  // Not given here: taken from the environment, by the names in docs/options.md.
  prefix: process.env['WAL_PREFIX'] ?? 'shop',
  routes: [
    // A topic of its own; all that no route matches goes to `<prefix>.<aggregate type>`.
    { aggregateType: 'user', topic: process.env['USER_TOPIC'] ?? 'user-events' },
    // Code of your own, instead of Kafka: acknowledged when it resolves, called again while it throws.
    { aggregateType: 'audit', handle: async ({ fact }) => console.log(`audit: ${fact.eventType} ${fact.text()}`) },
  ],
})
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void relay.stop())

// The slot is there from here on: only now may services emit.
await relay.start()
console.log('relaying')

const { exitCode, error } = await relay.whenStopped()
if (error) console.error(error.message)
console.log('stopped')
process.exitCode = exitCode
