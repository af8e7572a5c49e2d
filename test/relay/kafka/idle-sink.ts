// A process of its own: a connected sink with nothing to do; prints what that costs, in percent of a core.
import { openKafkaSink } from '../../../relay/kafka/open-sink.ts'
import { silentLogger } from '../../../relay/observer.ts'

const [client, topic = '', ...brokers] = process.argv.slice(2)
const target = { client: client as 'kafkajs', clientId: 'idle', brokers, tls: false, compression: 'none' } as const
const sink = openKafkaSink({ target, logger: silentLogger })
await sink.connect()
const record = { key: Buffer.from('k'), value: Buffer.from('v'), headers: {}, timestampMs: Date.now() }
await sink.send(topic, 0, [record])
await sink.send(topic, 0, [record])
// What start-up leaves behind (compiling, collecting) is not idling.
await new Promise((resolve) => setTimeout(resolve, 2_000))
const before = process.cpuUsage()
const startedMs = performance.now()
await new Promise((resolve) => setTimeout(resolve, 6_000))
const { user, system } = process.cpuUsage(before)
console.log(`idle: ${(((user + system) / 1000 / (performance.now() - startedMs)) * 100).toFixed(2)} %`)
await sink.close()
process.exit(0)
