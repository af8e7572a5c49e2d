import { expect, it } from 'vitest'
import { createDeferred } from '../../../relay/deferred.ts'
import { createPlatformaticSink } from '../../../relay/kafka/platformatic.ts'
import { silentLogger } from '../../../relay/observer.ts'
import type { SinkError, SinkRecord } from '../../../relay/sink/sink.ts'
import { type Callback, memorySend, memoryWriter } from './memory-library.ts'

// What no broker can be brought to do at will: the library's protocol layer with one broker of one partition in memory, which knows
// sequences as a real one does and answers as the test says.

/** `lost`: written, and nothing is answered. `late`: written, and answered when the test says so. A number: that error code, and nothing is written. */
type Answer = 'ok' | 'lost' | 'late' | number

const MESSAGE_TOO_LARGE = 10

function createBench(sendWatchdogMs = 120_000) {
  const log: string[] = []
  /** Producer → first sequence and count of its last batches. */
  const known = new Map<bigint, { first: number; count: number }[]>()
  const answers: Answer[] = []
  const requests: { producer: bigint; first: number }[] = []
  const late: (() => void)[] = []
  let batches = 0
  let sent: readonly SinkRecord[] = []
  let producers = 0n
  /** Until then nothing but Produce requests is answered; undefined: at once. */
  let held: Promise<void> | undefined
  const api = (answer: (...args: never[]) => unknown) => ({
    api: (_connection: unknown, ...args: unknown[]) => {
      const reply = () => (args.at(-1) as Callback)(null, answer(...(args.slice(0, -1) as never[])))
      if (held) void held.then(reply)
      else reply()
    },
    parseResponse: undefined,
  })
  const connection = {
    host: 'b',
    port: 1,
    isConnected: () => true,
    send: memorySend((pieces, done) => {
      const batch = pieces[1] as Buffer
      const [producer, first, count] = [batch.readBigInt64BE(43), batch.readInt32BE(53), batch.readInt32BE(57)]
      requests.push({ producer, first })
      batches += pieces.filter((_, index) => index % 2 === 1).length
      const answer = answers.shift() ?? 'ok'
      const before = known.get(producer) ?? []
      const isRepetition = before.some((one) => one.first === first && one.count === count)
      if (typeof answer !== 'number' && !isRepetition) {
        log.push(...sent.map(({ value }) => String(value)))
        known.set(producer, [...before, { first, count }].slice(-5))
      }
      if (answer === 'lost') return done(new Error('Connection closed'))
      const result = {
        index: 0,
        errorCode: typeof answer === 'number' ? answer : 0,
        baseOffset: BigInt(log.length - count),
      }
      const reply = () => done(null, { responses: [{ name: 't', partitionResponses: [result] }] })
      if (answer === 'late') late.push(reply)
      else reply()
    }),
  }
  class ConnectionPool {
    on = () => {}
    get = async () => connection
    getEstablishedConnection = () => connection
    close = async () => {};
    *[Symbol.iterator]() {}
  }
  class ProtocolError extends Error {
    readonly apiCode: number
    readonly apiId: string
    constructor(apiCode: number) {
      super('refused')
      this.apiCode = apiCode
      this.apiId = apiCode === MESSAGE_TOO_LARGE ? 'MESSAGE_TOO_LARGE' : 'OTHER'
    }
  }
  const range = [0, 1, 2, 3, 22].map((apiKey) => ({ apiKey, minVersion: 0, maxVersion: 20 }))
  const stored = () =>
    log.map((value, offsetDelta) => ({
      offsetDelta,
      timestampDelta: 0n,
      key: Buffer.from('k'),
      value: Buffer.from(value),
      headers: [],
    }))
  const library = {
    ConnectionPool,
    ProtocolError,
    crc32c: () => 0,
    Writer: memoryWriter,
    apiVersionsV3: api(() => ({ apiKeys: range })),
    initProducerIdV5: api(() => ({ producerId: ++producers, producerEpoch: 0 })),
    metadataV12: api(() => ({
      brokers: [{ nodeId: 1, host: 'b', port: 1 }],
      controllerId: 1,
      topics: [{ errorCode: 0, name: 't', partitions: [{ partitionIndex: 0, leaderId: 1 }] }],
    })),
    listOffsetsV7: api(
      (
        _replica,
        _level,
        [
          {
            partitions: [{ timestamp }],
          },
        ]: [{ partitions: [{ timestamp: bigint }] }],
      ) => ({
        topics: [{ partitions: [{ offset: timestamp === -1n ? BigInt(log.length) : 0n }] }],
      }),
    ),
    fetchV12: api(() => {
      const batch = {
        attributes: 0,
        firstOffset: 0n,
        lastOffsetDelta: log.length - 1,
        firstTimestamp: 1n,
        records: stored(),
      }
      const partition = {
        highWatermark: BigInt(log.length),
        logStartOffset: 0n,
        records: log.length > 0 ? [batch] : [],
      }
      return { responses: [{ partitions: [partition] }] }
    }),
    produceV11: { api: { key: 0, version: 11 }, parseResponse: undefined },
  }
  const target = { clientId: 'x', brokers: ['b:1'], tls: false, compression: 'none' } as const
  const sink = createPlatformaticSink({ library: library as never, target, logger: silentLogger, sendWatchdogMs })
  return {
    log,
    requests,
    late,
    /** Resolves to `ok`, or to the kind of the fault. */
    send(value: string, ...next: Answer[]): Promise<string> {
      answers.push(...next)
      sent = [{ key: Buffer.from('k'), value: Buffer.from(value), headers: {}, timestampMs: 100_000 }]
      return sink.send('t', 0, sent).then(
        () => 'ok',
        ({ kind }: SinkError) => kind,
      )
    },
    /** Resolves to `ok`, or to the type of the fault. */
    sendIf: (mayLeave: () => boolean) =>
      sink.send('t', 0, sent, mayLeave).then(
        () => 'ok',
        ({ type }: SinkError) => type,
      ),
    renew: () => sink.renew(),
    close: () => sink.close(),
    whenWritable: () => sink.whenWritable?.('t', 0),
    batchCount: () => batches,
    /** Returns what ends it. */
    hold() {
      const { promise, resolve } = createDeferred<void>()
      held = promise
      return () => {
        held = undefined
        resolve()
      }
    },
  }
}

it('a batch that may be written is not given up on its producer: the next one would have its sequences', async () => {
  const { send, renew, log, requests } = createBench()
  expect(await send('a', 'lost')).toBe('retry')
  // The topic takes less than before.
  expect(await send('a', MESSAGE_TOO_LARGE)).toBe('renew')
  await renew()
  expect(await send('a')).toBe('ok')
  expect(await send('b')).toBe('ok')
  expect(log).toEqual(['a', 'b'])
  expect(requests.map(({ producer, first }) => [Number(producer), first])).toEqual([
    [1, 0],
    [1, 0],
    [2, 0],
  ])
})

it('a batch that is refused at the first try is the fault of its record, and the next one has its sequences', async () => {
  const { send, log } = createBench()
  expect(await send('a', MESSAGE_TOO_LARGE)).toBe('record')
  expect(await send('b')).toBe('ok')
  expect(log).toEqual(['b'])
})

it('a batch that may not leave any more when its turn comes is not written, and not in doubt', async () => {
  const { send, sendIf, log, requests } = createBench()
  expect(await send('a')).toBe('ok')
  let asked = 0
  // The slot was lost between its two looks.
  expect(await sendIf(() => asked++ === 0)).toBe('HELD_BACK')
  expect(asked).toBe(2)
  expect(await send('b', MESSAGE_TOO_LARGE)).toBe('record')
  expect(await send('c')).toBe('ok')
  expect(log).toEqual(['a', 'c'])
  expect(requests.map(({ first }) => first)).toEqual([0, 1, 1])
})

it('an answer that comes after a send was given up, and before its producer is, settles nothing: the batch is looked for', async () => {
  const { send, renew, log, late } = createBench(20)
  expect(await send('a', 'late')).toBe('renew')
  late[0]!()
  await new Promise((resolve) => setImmediate(resolve))
  await renew()
  expect(await send('a')).toBe('ok')
  expect(log).toEqual(['a'])
})

it('a look into the log that ends after its send was given up settles nothing, either', async () => {
  const { send, renew, log, hold } = createBench(20)
  expect(await send('a', 'lost')).toBe('retry')
  await renew()
  const release = hold()
  expect(await send('a')).toBe('renew')
  release()
  await new Promise((resolve) => setImmediate(resolve))
  await renew()
  expect(await send('a')).toBe('ok')
  expect(log).toEqual(['a'])
})

it('a send that was given up before there was a producer does not write beside the next one', async () => {
  const { send, renew, batchCount, hold } = createBench(20)
  const release = hold()
  expect(await send('a')).toBe('renew')
  const renewed = renew()
  release()
  await renewed
  expect(await send('a')).toBe('ok')
  expect(batchCount()).toBe(1)
})

it.each(['renew', 'close'] as const)('no lane waits for room with a producer that is given up: %s', async (end) => {
  const bench = createBench()
  // Two requests are open, and room is given for one more.
  for (const open of [1, 2]) {
    void bench.send(`${open}`, 'late')
    while (bench.late.length < open) await new Promise((resolve) => setImmediate(resolve))
  }
  while (bench.whenWritable() === undefined);
  let isFree = false
  void bench.whenWritable()?.then(() => {
    isFree = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  expect(isFree).toBe(false)
  await bench[end]()
  await new Promise((resolve) => setImmediate(resolve))
  expect(isFree).toBe(true)
})
