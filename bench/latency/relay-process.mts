// The built relay for bench/latency.mts: says a line when it streams, stops at the end of its input, and then says, of each fact
// in its order, when it was received and when Kafka had acknowledged it, in milliseconds since 1970.
import { once } from 'node:events'
import { silentObserver } from '../../relay/observer.ts'

const { module, ...settings } = JSON.parse(process.env['BENCH_RELAY'] ?? '') as { module: string }
const { createRelay } = (await import(module)) as typeof import('../../relay/index.ts')
const received: number[] = []
const acknowledged: number[] = []
const relay = createRelay({
  ...settings,
  observer: {
    ...silentObserver,
    handled(_aggregateType, _eventType, seconds) {
      const nowMs = performance.timeOrigin + performance.now()
      acknowledged.push(nowMs)
      received.push(nowMs - seconds * 1000)
    },
  },
})
await relay.start()
process.stdout.write('streaming\n')
process.stdin.resume()
await once(process.stdin, 'end')
await relay.stop()
await new Promise<void>((done) => process.stdout.write(JSON.stringify({ received, acknowledged }), () => done()))
process.exit(0)
