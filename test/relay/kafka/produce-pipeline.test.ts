import { expect, it } from 'vitest'
import { type PartitionAnswer, ProducePipeline } from '../../../relay/kafka/produce-pipeline.ts'
import { RecordBatchEncoder } from '../../../relay/kafka/record-batch.ts'
import { SinkError } from '../../../relay/sink/sink.ts'
import { memorySend, memoryWriter } from './memory-library.ts'

// Which batches travel together, and who is told what: a connection in memory that answers when the test says so. Against real
// brokers: platformatic.e2e.test.ts.

type Answer = { error?: unknown; responses?: { name: string; partitionResponses: object[] }[] }

function createBench() {
  /** Of each request the batches' first sequences: they name the batches here. */
  const requests: number[][] = []
  const answers: ((answer: Answer) => void)[] = []
  const request = memorySend((pieces, done) => {
    // The batches are every second piece.
    requests.push(pieces.filter((_, index) => index % 2 === 1).map((batch) => batch.readInt32BE(53)))
    answers.push(({ error, responses }) => done(error, responses && { responses }))
  })
  const pipeline = new ProducePipeline({
    library: { Writer: memoryWriter } as never,
    broker: { host: 'b', port: 1 },
    connection: { send: request } as never,
    encoder: new RecordBatchEncoder({ crc32c: () => 0 }),
    api: { api: { key: 0, version: 11 }, parseResponse: undefined } as never,
    timeoutMs: 1_000,
    mostBytes: 900_000,
  })
  const send = (
    partition: number,
    options: { topic?: string; replaced?: boolean; bytes?: number; key?: Buffer } = {},
  ): Promise<PartitionAnswer | string> =>
    pipeline
      .send({
        topic: options.topic ?? 't',
        partition,
        records: [
          {
            key: options.key ?? Buffer.from('k'),
            value: Buffer.alloc(options.bytes ?? 1),
            headers: {},
            timestampMs: 1,
          },
        ],
        producer: { id: 1n, epoch: 0 },
        sequence: partition,
        refusal: () => (options.replaced ? new SinkError('retry', 'PRODUCER_REPLACED', 'replaced') : undefined),
      })
      .catch((error: SinkError & { code?: string }) => error.type ?? error.code ?? error.message)
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
  const ok = (index: number, errorCode = 0) => ({ index, errorCode, baseOffset: BigInt(index) })
  /** Whether there was room at once, or has been since. */
  const room = () => {
    const asked = { given: false }
    const given = pipeline.whenWritable()
    if (!given) asked.given = true
    else void given.then(() => (asked.given = true))
    return asked
  }
  const close = () => pipeline.close()
  return { requests, answers, send, turn, ok, room, close }
}

it('what is sent in one turn of the event loop leaves in one request, and each batch has its own answer', async () => {
  const { requests, answers, send, turn, ok } = createBench()
  const sent = [send(0), send(1), send(2, { topic: 'u' })]
  await turn()
  expect(requests).toEqual([[0, 1, 2]])
  answers[0]!({
    responses: [
      { name: 'u', partitionResponses: [ok(2)] },
      { name: 't', partitionResponses: [ok(1, 6), ok(0)] },
    ],
  })
  expect(await Promise.all(sent)).toEqual([ok(0), ok(1, 6), ok(2)])
})

it('an error that carries the answer is the answer; without one it is the fate of all', async () => {
  const { answers, send, turn, ok } = createBench()
  const first = [send(0), send(1)]
  await turn()
  answers[0]!({
    error: { response: { responses: [{ name: 't', partitionResponses: [ok(0), ok(1, 19)] }] } },
  })
  expect(await Promise.all(first)).toEqual([ok(0), ok(1, 19)])
  const second = [send(0), send(1)]
  await turn()
  answers[1]!({ error: new Error('Connection closed') })
  expect(await Promise.all(second)).toEqual(['Connection closed', 'Connection closed'])
})

it('an answer that leaves out a partition, or names it twice, is none for that partition', async () => {
  const { answers, send, turn, ok } = createBench()
  const sent = [send(0), send(1), send(2)]
  await turn()
  answers[0]!({ responses: [{ name: 't', partitionResponses: [ok(0), ok(2), ok(2), ok(7)] }] })
  expect(await Promise.all(sent)).toEqual([ok(0), 'WRONG_ACKNOWLEDGEMENT', 'EMPTY_ACKNOWLEDGEMENT'])
  const other = send(0)
  await turn()
  answers[1]!({ responses: [] })
  expect(await other).toBe('EMPTY_ACKNOWLEDGEMENT')
})

it('two requests are open at most; what comes meanwhile leaves together when one is answered', async () => {
  const { requests, answers, send, turn, ok } = createBench()
  for (const partition of [0, 1]) {
    void send(partition)
    await turn()
  }
  const late = [send(3), send(4)]
  await turn()
  expect(requests).toEqual([[0], [1]])
  answers[1]!({ responses: [{ name: 't', partitionResponses: [ok(1)] }] })
  await turn()
  expect(requests.slice(2)).toEqual([[3, 4]])
  answers[2]!({ responses: [{ name: 't', partitionResponses: [ok(3), ok(4)] }] })
  expect(await Promise.all(late)).toEqual([ok(3), ok(4)])
})

it('a request that is full takes no further batch', async () => {
  const { requests, send, turn } = createBench()
  for (const partition of [0, 1, 2]) void send(partition, { bytes: 200_000 })
  await turn()
  expect(requests).toEqual([[0, 1], [2]])
})

it('there is room for one request beside what is under way; who comes later has it when that one has left', async () => {
  const { requests, answers, send, room, turn, ok } = createBench()
  for (const partition of [0, 1]) {
    void send(partition)
    await turn()
  }
  const asked = Array.from({ length: 70 }, room)
  const given = () => asked.filter((one) => one.given).length
  await turn()
  expect(given()).toBe(64)
  for (let partition = 2; partition < 67; partition++) void send(partition)
  answers[0]!({ responses: [{ name: 't', partitionResponses: [ok(0)] }] })
  await turn()
  expect(requests[2]).toEqual(Array.from({ length: 64 }, (_, index) => index + 2))
  expect(given()).toBe(70)
})

it('room that was given and not taken is given to the next', async () => {
  const { room, turn } = createBench()
  const asked = Array.from({ length: 200 }, room)
  for (const given of [64, 128, 192, 200]) {
    expect(asked.filter((one) => one.given)).toHaveLength(given)
    await turn()
  }
})

it('nothing waits for room on a connection that is given up', async () => {
  const { room, close, turn, send } = createBench()
  for (const partition of [0, 1]) {
    void send(partition)
    await turn()
  }
  const asked = Array.from({ length: 66 }, room)
  expect(asked.every(({ given }) => given)).toBe(false)
  close()
  asked.push(...Array.from({ length: 66 }, room))
  await turn()
  expect(asked.every(({ given }) => given)).toBe(true)
})

it('a batch that would make a request longer than one batch may be travels alone, behind what came before it', async () => {
  const { requests, answers, send, turn, ok } = createBench()
  const sent = [send(0, { bytes: 100_000 }), send(1, { bytes: 900_000 }), send(2), send(3)]
  await turn()
  expect(requests).toEqual([[0], [1]])
  answers[0]!({ responses: [{ name: 't', partitionResponses: [ok(0)] }] })
  await turn()
  expect(requests.slice(2)).toEqual([[2, 3]])
  answers[1]!({ error: new Error('Connection closed') })
  answers[2]!({ responses: [{ name: 't', partitionResponses: [ok(2), ok(3)] }] })
  expect(await Promise.all(sent)).toEqual([ok(0), 'Connection closed', ok(2), ok(3)])
})

it('a batch whose producer was replaced before it left is not written, and the others are', async () => {
  const { requests, send, turn } = createBench()
  const stale = send(0, { replaced: true })
  void send(1)
  await turn()
  expect(await stale).toBe('PRODUCER_REPLACED')
  expect(requests).toEqual([[1]])
  const alone = send(2, { replaced: true })
  await turn()
  expect(await alone).toBe('PRODUCER_REPLACED')
  expect(requests).toEqual([[1]])
})

it('a batch that cannot be encoded fails by itself', async () => {
  const { requests, send, turn } = createBench()
  const key = Object.defineProperty(Buffer.from('k'), 'length', {
    get() {
      throw new Error('defect')
    },
  })
  const defect = send(1, { key })
  void send(2)
  await turn()
  expect(await defect).toBe('defect')
  expect(requests).toEqual([[2]])
})

it('a request that cannot be made is the fate of its batches; none waits for ever', async () => {
  const { requests, send, turn } = createBench()
  const sent = [send(0), send(1, { topic: 5 as never })]
  await turn()
  expect(await Promise.all(sent)).toEqual(Array(2).fill('ERR_INVALID_ARG_TYPE'))
  void send(2)
  await turn()
  expect(requests).toEqual([[2]])
})
