// The built relay for bench/latency.mts: says a line when it streams, stops at the end of its input.
import { once } from 'node:events'

const { module, ...settings } = JSON.parse(process.env['BENCH_RELAY'] ?? '') as { module: string }
const { createRelay } = (await import(module)) as typeof import('../../relay/index.ts')
const relay = createRelay(settings)
await relay.start()
process.stdout.write('streaming\n')
process.stdin.resume()
await once(process.stdin, 'end')
await relay.stop()
process.exit(0)
