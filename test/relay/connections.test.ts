import { expect, it } from 'vitest'
import { createDeferred } from '../../relay/deferred.ts'
import type { Entry } from '../../relay/entry.ts'
import { RelayHaltError } from '../../relay/errors.ts'
import { type Lsn, toLsn } from '../../relay/lsn.ts'
import { silentLogger, silentObserver } from '../../relay/observer.ts'
import { interpretMessage } from '../../relay/record.ts'
import { SlotReader } from '../../relay/slot-reader.ts'
import type { SourceEvents, SourceSession, SourceVitals } from '../../relay/source/source.ts'
import { encodeFact, Fact } from '../../src/index.ts'
import { waitFor } from '../support/wait.ts'

// What belongs to a connection that is over must move nothing of the one that came after it.

const content = Buffer.from(encodeFact(new Fact({ aggregateType: 'thing', aggregateId: '1', eventType: 'e' })))

class ScriptedSession implements SourceSession {
  readonly systemId = 1n
  readonly timeline = 1
  readonly walEndLsn = toLsn(0x1000n)
  readonly serverPatienceMs = 60_000
  readonly startLsn: Lsn
  readonly events: SourceEvents
  readonly confirmed: Lsn[] = []
  readonly #closed = createDeferred<Error | undefined>()
  readonly whenClosed = this.#closed.promise

  constructor(events: SourceEvents, startLsn: Lsn) {
    this.events = events
    this.startLsn = startLsn
  }

  get vitals(): SourceVitals {
    const reportedLsn = this.confirmed.at(-1) ?? this.startLsn
    const heartbeat = { heartbeatSeconds: undefined, heartbeatOverdueMs: 0, heartbeatProblem: undefined }
    return { reportedLsn, reportedAtMs: performance.now(), ...heartbeat, slot: undefined }
  }

  heartbeat() {}
  pause() {}
  resume() {}
  confirm(lsn: Lsn) {
    if (lsn > this.startLsn) this.confirmed.push(lsn)
  }
  async holdsSlot() {
    return true
  }
  async close() {
    this.#closed.resolve(undefined)
  }
  abandon(error: Error) {
    this.#closed.resolve(error)
  }
  /** One transaction of one fact. */
  deliver(at: bigint) {
    this.events.onBegin(toLsn(at), 1n)
    this.events.onMessage(true, toLsn(at - 1n), 'a', content)
    this.events.onCommit(toLsn(at + 1n))
  }
}

function createBench() {
  const sessions: ScriptedSession[] = []
  const entries: Entry[] = []
  let drops = 0
  const reader = new SlotReader({
    source: {
      async open(events) {
        const session = new ScriptedSession(events, toLsn(0x10n))
        sessions.push(session)
        events.onStart(session)
        return session
      },
    },
    slot: 's',
    windowFacts: 10,
    windowBytes: 1e6,
    drainTimeoutMs: 0,
    logger: silentLogger,
    observer: silentObserver,
    accepts: () => true,
    interpret: interpretMessage,
    destination: {
      push: (entry) => void entries.push(entry),
      dropUnsent: () => void drops++,
    },
  })
  return {
    reader,
    sessions,
    entries,
    drops: () => drops,
    /** Loses the connection, and waits for the next. */
    async reconnect() {
      const count = sessions.length
      sessions.at(-1)?.abandon(new Error('cut'))
      await waitFor(() => sessions.length > count, { what: 'another connection' })
    },
  }
}

it('an acknowledgement of the connection before confirms nothing on the next', async () => {
  const bench = createBench()
  await bench.reader.start()
  bench.sessions[0]?.deliver(0x20n)
  await bench.reconnect()
  const [late] = bench.entries.splice(0)
  bench.reader.done([late as Entry])
  expect(bench.sessions.map(({ confirmed }) => confirmed)).toEqual([[], []])
  // The same fact once more: now it counts.
  bench.sessions[1]?.deliver(0x20n)
  bench.reader.done(bench.entries)
  expect(bench.sessions.map(({ confirmed }) => confirmed.at(-1))).toEqual([undefined, toLsn(0x21n)])
  await bench.reader.stop()
})

it('what the connection before still says is neither taken nor confirmed', async () => {
  const bench = createBench()
  await bench.reader.start()
  await bench.reconnect()
  bench.sessions[0]?.deliver(0x20n)
  bench.sessions[0]?.events.onKeepalive(toLsn(0x90n))
  expect(bench.entries).toEqual([])
  expect(bench.sessions.map(({ confirmed }) => confirmed)).toEqual([[], []])
  await bench.reader.stop()
})

it('while there is no connection nothing may be produced, and what was not sent is forgotten', async () => {
  const bench = createBench()
  expect(bench.reader.mayProduce).toBe(false)
  await bench.reader.start()
  expect(bench.reader.mayProduce).toBe(true)
  const count = bench.drops()
  bench.sessions[0]?.abandon(new Error('cut'))
  await waitFor(() => !bench.reader.mayProduce, { what: 'the loss to be noticed', intervalMs: 1 })
  expect(bench.drops()).toBe(count + 1)
  await bench.reader.whenMayProduce()
  expect([bench.reader.mayProduce, bench.sessions.length]).toEqual([true, 2])
  await bench.reader.stop()
})

it('ends with the exit code of its halt, also when it is asked to stop while it drains', async () => {
  const { reader, sessions, entries } = createBench()
  await reader.start()
  sessions[0]?.deliver(0x20n)
  const error = new RelayHaltError('FACTLIB_SLOT_GONE', 10, 'gone')
  reader.halt(error)
  const stopped = reader.stop()
  await new Promise(setImmediate)
  reader.done(entries)
  await stopped
  expect(await reader.whenStopped()).toEqual({ exitCode: 10, error })
  expect(reader.phase).toBe('failed')
})
