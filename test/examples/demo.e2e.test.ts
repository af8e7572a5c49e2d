import pg from 'pg'
import { describe, expect, inject, it } from 'vitest'
import { startNode, startProcess, type TestProcess } from '../support/process.ts'

const SLOW = 120_000

function lastLine(demo: TestProcess): string | undefined {
  return demo.output().trimEnd().split('\n').at(-1)
}

/** The servers of the run instead of the demo's own: it has to leave nothing behind on them. */
function onServersOfTheRun() {
  return {
    env: {
      FACTLIB_TEST_DATABASE_URL: inject('postgresUrl'),
      FACTLIB_TEST_KAFKA_BROKERS: inject('kafkaBrokers').join(','),
    },
  }
}

/** Databases and slots of any demo; those of this file run one after the other. */
async function whatIsLeft(): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: inject('postgresUrl') })
  await client.connect()
  try {
    const { rows } = await client.query(
      `SELECT datname AS name FROM pg_database WHERE datname LIKE 'factlib\\_demo\\_%'
       UNION ALL SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'factlib\\_demo\\_%'`,
    )
    return rows
  } finally {
    await client.end()
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

function relayPids(demo: TestProcess): number[] {
  return [...new Set([...demo.output().matchAll(/relay (\d+): /g)].map(([, pid]) => Number(pid)))]
}

describe('npm run demo', () => {
  it('starts its own servers, kills the relay once, and ends by itself with every fact delivered', {
    timeout: SLOW,
  }, async () => {
    // The servers that the user has named are used; else it starts its own, as on a fresh clone.
    const { FACTLIB_TEST_DATABASE_URL, FACTLIB_TEST_KAFKA_BROKERS } = process.env
    const demo = startProcess('npm', ['run', '--silent', 'demo'], {
      env: { FACTLIB_TEST_DATABASE_URL, FACTLIB_TEST_KAFKA_BROKERS },
    })
    const exit = await demo.whenExited(SLOW)
    expect({ exit, last: lastLine(demo) }, demo.output()).toEqual({
      exit: { code: 0, signal: null },
      last: expect.stringMatching(/^demo ok: [1-9]\d\d facts delivered, 0 lost, 0 phantom$/),
    })
    const [, delivered] = /^demo ok: (\d+)/m.exec(demo.output()) ?? []
    for (const line of [
      /^ +Prisma +Drizzle +Sequelize +all$/m,
      new RegExp(`^ +delivered +\\d+ +\\d+ +\\d+ +${delivered}$`, 'm'),
      /^ +rolled back +[1-9]\d* +[1-9]\d* +[1-9]\d* +[1-9]\d*$/m,
      /^ +lost +0 +0 +0 +0$/m,
      /^ +phantom +0 +0 +0 +0$/m,
      // topic, partition, key, event type, trace id, latency
      /^ +shop\S*\.order +\d +drizzle-\d+ +order\.placed +[0-9a-f]{32} [\d.]+ ms$/m,
    ]) {
      expect(demo.output()).toMatch(line)
    }
    const pids = relayPids(demo)
    expect(demo.output()).toContain(`SIGKILL to the relay (${pids[0]})`)
    expect(pids).toHaveLength(2)
    expect(pids.filter(isAlive)).toEqual([])
  })

  it('--keep leaves it running until Ctrl-C, and then takes everything away', { timeout: SLOW }, async () => {
    const demo = startNode('scripts/demo.mjs', ['--keep'], onServersOfTheRun())
    await demo.whenLine('until Ctrl-C', SLOW)
    const [, health] = /^ +health +(\S+)$/m.exec(demo.output()) ?? []
    expect(await (await fetch(health!)).text()).toBe('OK')
    expect(await whatIsLeft()).toHaveLength(2)
    demo.signal('SIGINT')
    expect(await demo.whenExited()).toEqual({ code: 0, signal: null })
    expect(await whatIsLeft()).toEqual([])
    expect(relayPids(demo).filter(isAlive)).toEqual([])
  })

  it('Ctrl-C in the middle of it takes everything away', { timeout: SLOW }, async () => {
    const demo = startNode('scripts/demo.mjs', [], onServersOfTheRun())
    await demo.whenLine('order.placed', SLOW)
    demo.signal('SIGINT')
    expect(await demo.whenExited()).toEqual({ code: 130, signal: null })
    expect(await whatIsLeft()).toEqual([])
    expect(relayPids(demo).filter(isAlive)).toEqual([])
    expect(demo.output()).not.toContain('failed')
  })

  it('says what is wrong, and exits with 1', { timeout: SLOW }, async () => {
    const demo = startNode('scripts/demo.mjs', [], {
      env: { FACTLIB_TEST_KAFKA_BROKERS: '127.0.0.1:1', FACTLIB_TEST_DATABASE_URL: inject('postgresUrl') },
    })
    expect(await demo.whenExited(SLOW)).toEqual({ code: 1, signal: null })
    expect(demo.output()).toContain('127.0.0.1:1 does not answer')
    expect(lastLine(demo)).toMatch(/^demo failed: No Kafka|^demo failed: FACTLIB_TEST_KAFKA_BROKERS/)
  })
})
