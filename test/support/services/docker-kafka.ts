import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { connectCluster } from '../kafka-fetch.ts'
import { waitFor } from '../wait.ts'
import { freePort } from './free-port.ts'
import { KAFKA_VERSION } from './kafka-jars.ts'
import { guard } from './watchdog.ts'

const run = promisify(execFile)

/**
 * One Kafka broker in a container, where a Docker engine answers.
 *
 * @throws when no engine answers, or the container does not serve within 60 s
 */
export async function startDockerKafka(): Promise<{ brokers: string[]; stop(): Promise<void> }> {
  await run('docker', ['info'], { timeout: 10_000 }).catch((cause: unknown) => {
    throw new Error('no Docker engine answers', { cause })
  })
  const port = await freePort()
  const name = `factlib-kafka-${randomBytes(6).toString('hex')}`
  const remove = ['rm', '--force', name]
  const release = guard({ kind: 'command', argv: ['docker', ...remove] })
  const stop = async (): Promise<void> => {
    await run('docker', remove)
    release()
  }
  const settings = {
    KAFKA_PROCESS_ROLES: 'broker,controller',
    KAFKA_NODE_ID: '1',
    KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9093',
    KAFKA_LISTENERS: `PLAINTEXT://:${port},CONTROLLER://localhost:9093`,
    KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://127.0.0.1:${port}`,
    KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
    KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
    KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
    KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
  }
  const env = Object.entries(settings).flatMap(([key, value]) => ['--env', `${key}=${value}`])
  const brokers = [`127.0.0.1:${port}`]
  try {
    await run(
      'docker',
      [
        'run',
        '--detach',
        '--name',
        name,
        '--publish',
        `127.0.0.1:${port}:${port}`,
        ...env,
        `apache/kafka:${KAFKA_VERSION}`,
      ],
      {
        timeout: 300_000,
      },
    )
    await waitFor(async () => (await connectCluster(brokers, [])).disconnect().then(() => true), {
      what: 'Kafka in Docker to answer',
      timeoutMs: 60_000,
    })
  } catch (error) {
    await stop().catch(() => {})
    throw new Error(`Kafka did not start in Docker: ${(error as Error).message}`, { cause: error })
  }
  return { brokers, stop }
}
