// Debezium's connector for PostgreSQL on a standalone Kafka Connect worker, with the heap and the collector that Connect's
// own script gives it. It reads the same messages (pgoutput, `message.prefix.include.list`) from a copy of the slot.
//
// What it does less than the relay: a logical message has its prefix as key, so all records go to one partition of one
// topic, `<topic.prefix>.message`; no headers; the content is not looked into. The value is the payload's bytes: Kafka's
// ExtractField takes `message.content` out of Debezium's envelope, ByteArrayConverter writes it as it is. Its heartbeat is
// off, its queue and batch are the defaults, the producer is Connect's (acks=all) with the codec of the others.
//
// Once warm: in the same process a connector of its own first relays copies of the same slot, until the compiler has seen
// 200,000 facts. The jars are fetched by Maven when first asked for, into the folder where Kafka's are.
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createTopics } from '../../test/support/kafka.ts'
import { cacheDir, fillOnce } from '../../test/support/services/cache.ts'
import { freePort } from '../../test/support/services/free-port.ts'
import { findJava } from '../../test/support/services/java.ts'
import { copyJarsWithMaven } from '../../test/support/services/kafka-jars.ts'
import { type ServerProcess, startServerProcess } from '../../test/support/services/server-process.ts'
import { PREFIX } from '../relay/backlog.mts'
import { TOPIC_CONFIG } from '../relay/kafka-ends.mts'
import type { Arena } from '../relay/run.mts'
import type { ContestantResult } from '../relay/span.mts'
import { measureOutside } from './outside.mts'

const folder = fileURLToPath(new URL('./debezium/', import.meta.url))
const WARM_FACTS = 200_000
/** Of connect-standalone.sh and kafka-run-class.sh. */
const JVM_OPTIONS = ['-Xms256M', '-Xmx2G', '-server', '-XX:+UseG1GC', '-XX:MaxGCPauseMillis=20']
JVM_OPTIONS.push('-XX:InitiatingHeapOccupancyPercent=35', '-XX:+ExplicitGCInvokesConcurrent')

type DebeziumArena = Pick<Arena, 'kafka' | 'backlog' | 'partitions' | 'codec'>

/** @throws when Maven cannot bring the jars, or the worker or a connector fails */
export async function runDebezium(arena: DebeziumArena, slot: string): Promise<ContestantResult> {
  const { backlog } = arena
  const home = await mkdtemp(join(tmpdir(), 'factlib-debezium-'))
  const worker = await startWorker(arena, home)
  try {
    for (let warmed = 0; warmed < WARM_FACTS; warmed += backlog.shape.facts) {
      const warmSlot = `${slot}_warm_${warmed}`
      await backlog.copySlot(warmSlot)
      try {
        await relay(arena, worker, warmSlot)
      } finally {
        await backlog.dropSlot(warmSlot)
      }
    }
    return await relay(arena, worker, slot)
  } finally {
    worker.process.signal('SIGKILL')
    await worker.process.whenExited()
    await rm(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
}

async function debeziumJars(): Promise<string> {
  const pom = join(folder, 'pom.xml')
  const content = await readFile(pom)
  const version = createHash('sha256').update(content).digest('hex').slice(0, 8)
  return fillOnce(join(cacheDir(), `debezium-${version}`), async (target) => {
    const tree = join(target, 'maven')
    await copyJarsWithMaven(tree, pom)
    for (const file of await readdir(tree, { recursive: true }))
      if (file.endsWith('.jar')) await rename(join(tree, file), join(target, basename(file)))
    await rm(tree, { recursive: true })
  })
}

interface Worker {
  readonly process: ServerProcess
  readonly url: string
}

async function startWorker({ kafka, codec }: DebeziumArena, home: string): Promise<Worker> {
  const [java, jars, port] = await Promise.all([findJava(), debeziumJars(), freePort()])
  const url = `http://127.0.0.1:${port}`
  const settings = {
    'bootstrap.servers': kafka.bootstrap.join(','),
    listeners: url,
    'key.converter': 'org.apache.kafka.connect.storage.StringConverter',
    'value.converter': 'org.apache.kafka.connect.converters.ByteArrayConverter',
    'offset.storage.file.filename': join(home, 'offsets'),
    'producer.compression.type': codec,
  }
  const file = join(home, 'worker.properties')
  await writeFile(file, lines(settings))
  const args = [...JVM_OPTIONS, `-Dlog4j2.configurationFile=${join(folder, 'log4j2.properties')}`, '-cp', `${jars}/*`]
  const process = await startServerProcess({
    name: 'Kafka Connect',
    file: java,
    args: [...args, 'org.apache.kafka.connect.cli.ConnectStandalone', file],
    env: { PATH: globalThis.process.env['PATH'] },
    cwd: home,
    readyLine: /Kafka Connect started/,
    startTimeoutMs: 120_000,
    orphanSignal: 'SIGKILL',
  })
  return { process, url }
}

/** One connector from its start to its last record; it is gone afterwards, and its slot free. */
async function relay(arena: DebeziumArena, { process, url }: Worker, slot: string): Promise<ContestantResult> {
  const { backlog, kafka, partitions } = arena
  const topic = `${slot}.message`
  await createTopics(kafka.bootstrap, [{ topic, partitions, config: TOPIC_CONFIG }])
  let made = false
  try {
    return await measureOutside({
      name: 'Debezium',
      brokers: kafka.bootstrap,
      topics: [topic],
      facts: backlog.shape.facts,
      start: async () => {
        await request(`${url}/connectors`, { name: slot, config: connectorConfig(arena, slot) })
        made = true
        return process
      },
      check: async () => {
        if (process.exited) throw new Error(`Kafka Connect ended: ${process.log().slice(-2_000)}`)
        const { tasks } = (await request(`${url}/connectors/${slot}/status`)) as Status
        const failed = tasks?.find(({ state }) => state === 'FAILED')
        if (failed) throw new Error(`Debezium failed: ${failed.trace?.slice(0, 2_000)}`)
      },
    })
  } finally {
    // Where it could not be made, that error is the one to be seen.
    if (made && !process.exited) await request(`${url}/connectors/${slot}`, undefined, 'DELETE')
  }
}

function connectorConfig({ backlog }: DebeziumArena, slot: string): Record<string, string> {
  const { hostname, port, username, password, pathname } = new URL(backlog.url)
  return {
    'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
    'database.hostname': hostname,
    'database.port': port,
    'database.user': decodeURIComponent(username),
    'database.password': decodeURIComponent(password),
    'database.dbname': pathname.slice(1),
    'plugin.name': 'pgoutput',
    'slot.name': slot,
    'publication.name': backlog.publication,
    'publication.autocreate.mode': 'disabled',
    // From the slot's position on.
    'snapshot.mode': 'no_data',
    'message.prefix.include.list': PREFIX,
    'heartbeat.interval.ms': '0',
    'topic.prefix': slot,
    transforms: 'message,content,prefix',
    'transforms.message.type': 'org.apache.kafka.connect.transforms.ExtractField$Value',
    'transforms.message.field': 'message',
    'transforms.content.type': 'org.apache.kafka.connect.transforms.ExtractField$Value',
    'transforms.content.field': 'content',
    'transforms.prefix.type': 'org.apache.kafka.connect.transforms.ExtractField$Key',
    'transforms.prefix.field': 'prefix',
  }
}

interface Status {
  readonly tasks?: readonly { readonly state: string; readonly trace?: string }[]
}

/** Connect's REST interface; asks again while it is busy with an earlier request, or does not know the connector yet. */
async function request(url: string, body?: object, method = body ? 'POST' : 'GET'): Promise<unknown> {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(url, {
      method,
      ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    })
    const answer = await response.text()
    if (response.ok) return answer ? JSON.parse(answer) : undefined
    if (attempt === 50 || (response.status !== 404 && response.status !== 409))
      throw new Error(`Kafka Connect answered ${response.status} to ${method}: ${answer.slice(0, 1_000)}`)
    await delay(100)
  }
}

function lines(settings: Readonly<Record<string, string>>): string {
  return `${Object.entries(settings)
    .map(([name, value]) => `${name}=${value}`)
    .join('\n')}\n`
}
