// One contestant of bench/sink.mts, in a process of its own: a bare loop that feeds a sink from memory.
//   tsx bench/sink-contestant.mts <kafkajs|platformatic|library> <codec> <brokers> <topic> <facts> <partitions>
// `library`: the Producer that @platformatic/kafka itself has, for comparison.
import { createHash } from 'node:crypto'
import { createKafkajsSink } from '../relay/kafka/kafkajs.ts'
import { createPlatformaticSink } from '../relay/kafka/platformatic.ts'
import { loadPlatformatic } from '../relay/kafka/platformatic-client.ts'
import type { Codec } from '../relay/kafka/record-batch.ts'
import { silentLogger } from '../relay/observer.ts'
import type { SinkRecord } from '../relay/sink/sink.ts'

type Send = (topic: string, partition: number, records: readonly SinkRecord[]) => Promise<unknown>

const [client = '', codec = 'none', brokerList = '', topic = '', factsText = '', partitionsText = ''] =
  process.argv.slice(2)
const brokers = brokerList.split(',')
const facts = Number(factsText)
const partitions = Number(partitionsText)
const BATCH = 500
const DISTINCT = 30_000
const WARM_UP_FACTS = 60_000

const { send, close } = await open()
const pool = Array.from({ length: DISTINCT }, (_, n) => fact(n))
await run(WARM_UP_FACTS)
const cpuBefore = process.cpuUsage()
const startedMs = performance.now()
await run(facts)
const seconds = (performance.now() - startedMs) / 1000
const cpu = process.cpuUsage(cpuBefore)
await close()
process.stdout.write(
  `${JSON.stringify({
    factsPerSecond: Math.round(facts / seconds),
    cpuMicrosPerFact: (cpu.user + cpu.system) / facts,
    rssMegabytes: Math.round(process.resourceUsage().maxRSS / 1024),
    valueBytes: Math.round(pool.reduce((sum, { value }) => sum + value.length, 0) / DISTINCT),
    produced: facts + WARM_UP_FACTS,
  })}\n`,
)
process.exit(0)

async function run(count: number): Promise<void> {
  let left = count
  let next = 0
  const lane = async (partition: number): Promise<void> => {
    while (left > 0) {
      left -= BATCH
      const at = next % (DISTINCT - BATCH)
      next += BATCH
      await send(topic, partition, pool.slice(at, at + BATCH))
    }
  }
  await Promise.all(Array.from({ length: partitions }, (_, partition) => lane(partition)))
}

async function open(): Promise<{ send: Send; close(): Promise<unknown> }> {
  const target = { clientId: 'bench', brokers, tls: false, compression: codec as Codec } as const
  if (client === 'kafkajs') {
    const sink = createKafkajsSink({ target, logger: silentLogger })
    await sink.connect()
    return { send: sink.send, close: sink.close }
  }
  const library = await loadPlatformatic()
  if (!library) throw new Error('@platformatic/kafka is not installed')
  if (client === 'platformatic') {
    const sink = createPlatformaticSink({ library, target, logger: silentLogger })
    await sink.connect()
    return { send: sink.send, close: sink.close }
  }
  const producer = new library.Producer<Buffer, Buffer, string, string>({
    clientId: 'bench',
    bootstrapBrokers: brokers,
    idempotent: true,
    acks: -1,
    strict: true,
    retries: true,
    retryDelay: 250,
    timeout: 6_000,
    compression: codec as Codec,
    serializers: { ...library.stringSerializers, key: (bytes) => bytes, value: (bytes) => bytes },
  })
  return {
    send: (name, partition, records) =>
      producer.send({
        messages: records.map(({ key, value, headers, timestampMs }) => ({
          topic: name,
          partition,
          key,
          value,
          headers: new Map(Object.entries(headers)),
          timestamp: BigInt(timestampMs),
        })),
      }),
    close: () => producer.close(true),
  }
}

/** An order as a shop emits it: field names repeat, ids, names, amounts and times do not. About 287 bytes. */
function fact(n: number): SinkRecord {
  const hash = createHash('sha256').update(`fact ${n}`).digest('hex')
  const uuid = (at: number) =>
    `${hash.slice(at, at + 8)}-${hash.slice(at + 8, at + 12)}-7${hash.slice(at + 12, at + 15)}-a${hash.slice(at + 15, at + 18)}-${hash.slice(at + 18, at + 30)}`
  const pick = <T,>(list: readonly T[], at: number): T =>
    list[Number.parseInt(hash.slice(at, at + 4), 16) % list.length] as T
  const customer = `${pick(['Anna', 'Béla', 'Chen', 'Дарья', 'Émile', 'Farid'], 2)} ${pick(['Novak', 'Müller', 'Okafor', 'Tanaka'], 7)}`
  const value = JSON.stringify({
    customer,
    email: `${hash.slice(44, 52)}@example.com`,
    total: Number.parseInt(hash.slice(4, 10), 16) / 100,
    currency: pick(['EUR', 'USD', 'RUB', 'JPY'], 11),
    items: [{ sku: hash.slice(12, 24), count: 1 + (n % 7), note: pick(['gift', 'fragile', 'no invoice', ''], 33) }],
    placed: 1_760_000_000_000 + n * 977,
    state: pick(['placed', 'paid', 'shipped'], 40),
  })
  return {
    key: Buffer.from(uuid(0)),
    value: Buffer.concat([
      Buffer.from(`\n$${uuid(12)}\x12\x05order\x1a$${uuid(0)}"\x0border.paid`),
      Buffer.from(value),
    ]),
    headers: { event_id: uuid(12), event_type: 'order.paid', LSN: `1/${hash.slice(0, 8).toUpperCase()}` },
    timestampMs: Date.now(),
  }
}
