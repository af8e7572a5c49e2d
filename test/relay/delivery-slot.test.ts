import { expect, it } from 'vitest'
import { createDeferred } from '../../relay/deferred.ts'
import { toLsn } from '../../relay/lsn.ts'
import { createBench, STREAM } from './delivery-bench.ts'
import { entry, settled } from './entries.ts'

it('sends nothing any more when it stops without the slot: another relay may have it', async () => {
  const { delivery, sink, hold, push } = createBench()
  let wake = () => {}
  Object.assign(hold, { mayProduce: false, whenMayProduce: () => new Promise<void>((resolve) => (wake = resolve)) })
  delivery.started(STREAM)
  await push(entry('k'))
  wake() // As when the relay stops.
  await settled()
  expect(sink.requests).toEqual([])
})

it('does not send again what another relay has confirmed meanwhile; what is not, by a new producer', async () => {
  const { delivery, sink, hold, push, done, counted } = createBench()
  delivery.started(STREAM)
  await push(entry('a', 'thing.happened', { unitLsn: toLsn(150n) }))
  await push(
    entry('b', 'thing.happened', { unitLsn: toLsn(160n) }),
    entry('c', 'thing.happened', { unitLsn: toLsn(250n) }),
  )
  sink.requests[0]?.succeed()
  await settled()
  const { asked, wake } = loseSlot(hold)
  sink.requests[1]?.fail('retry', 'CONNECTION')
  await asked
  delivery.dropUnsent()
  hold.mayProduce = true
  delivery.started({ ...STREAM, startLsn: toLsn(200n) })
  wake()
  await settled()
  expect(sink.requests.slice(2).map(({ keys }) => keys)).toEqual([['c']])
  expect(sink.renewals).toBe(1)
  sink.requests[2]?.succeed()
  await settled()
  expect([done.length, counted.size]).toEqual([3, 0])
})

it('has what waits inside the sink held back when the slot is lost, and looks again before it goes', async () => {
  const { delivery, sink, hold, push, warnings, done } = createBench()
  const mayLeave: (() => boolean)[] = []
  const send = sink.send.bind(sink)
  sink.send = (topic, partition, records, may?: () => boolean) => {
    mayLeave.push(may as () => boolean)
    return send(topic, partition, records)
  }
  delivery.started(STREAM)
  await push(
    entry('a', 'thing.happened', { unitLsn: toLsn(150n) }),
    entry('b', 'thing.happened', { unitLsn: toLsn(250n) }),
  )
  expect(mayLeave[0]?.()).toBe(true)
  let wake = () => {}
  Object.assign(hold, { mayProduce: false, whenMayProduce: () => new Promise<void>((resolve) => (wake = resolve)) })
  expect(mayLeave[0]?.()).toBe(false)
  sink.requests[0]?.fail('retry', 'HELD_BACK')
  await settled()
  expect(sink.requests).toHaveLength(1)
  // Another relay had the slot, and wrote and confirmed the first.
  hold.mayProduce = true
  delivery.started({ ...STREAM, startLsn: toLsn(200n) })
  expect(mayLeave[0]?.()).toBe(false)
  wake()
  await settled()
  expect(sink.requests.slice(1).map(({ keys }) => keys)).toEqual([['b']])
  expect(mayLeave[1]?.()).toBe(true)
  sink.requests[1]?.succeed()
  await settled()
  expect(done).toHaveLength(2)
  expect(warnings).toEqual([])
})

it('looks again whether the slot is ours after it has waited for a new producer, which may take as long as an outage', async () => {
  const { delivery, sink, hold, push, done } = createBench()
  sink.counts.set('shop.thing', 2)
  delivery.started(STREAM)
  const keys = ['a', 'b', 'c', 'd', 'e']
  const p = keys.find((key) => entry(key).keyHash % 2 === 0) as string
  const q = keys.find((key) => entry(key).keyHash % 2 === 1) as string
  let renewed = () => {}
  sink.renewing = new Promise((resolve) => (renewed = resolve))
  await push(entry(p, 'thing.happened', { unitLsn: toLsn(150n) }))
  sink.requests[0]?.fail('renew')
  await settled()
  // Comes while there is no producer: it waits at the gate.
  await push(entry(q, 'thing.happened', { unitLsn: toLsn(160n) }))
  expect(sink.requests).toHaveLength(1)

  const waiting: (() => void)[] = []
  Object.assign(hold, { mayProduce: false, whenMayProduce: () => new Promise<void>((wake) => waiting.push(wake)) })
  delivery.dropUnsent()
  renewed()
  await settled()
  expect(sink.requests).toHaveLength(1)

  // Another relay had the slot, and wrote and confirmed both.
  hold.mayProduce = true
  delivery.started({ ...STREAM, startLsn: toLsn(200n) })
  for (const wake of waiting) wake()
  await settled()
  expect(sink.requests).toHaveLength(1)
  expect(done).toHaveLength(2)
})

/** `asked`: a batch has come to the hold, after its pause; `wake` lets it look again. */
function loseSlot(hold: object) {
  const [asked, again] = [createDeferred<void>(), createDeferred<void>()]
  const whenMayProduce = () => {
    asked.resolve()
    return again.promise
  }
  Object.assign(hold, { mayProduce: false, whenMayProduce })
  return { asked: asked.promise, wake: () => again.resolve() }
}

it('takes nothing for unconfirmed that was confirmed while it waited for a new producer', async () => {
  const { delivery, sink, hold, push, done } = createBench()
  delivery.started(STREAM)
  await push(...[150n, 160n, 250n, 350n].map((lsn, at) => entry(`k${at}`, 'thing.happened', { unitLsn: toLsn(lsn) })))
  const { asked, wake } = loseSlot(hold)
  const regain = (startLsn: bigint) => {
    hold.mayProduce = true
    delivery.started({ ...STREAM, startLsn: toLsn(startLsn) })
    wake()
  }
  sink.requests[0]?.fail('retry', 'CONNECTION')
  await asked
  let renewed = () => {}
  sink.renewing = new Promise((resolve) => (renewed = resolve))
  regain(200n)
  await settled()
  expect(sink.renewals).toBe(1)
  regain(300n)
  renewed()
  sink.renewing = undefined
  await settled()
  expect(sink.requests.slice(1).map(({ keys }) => keys)).toEqual([['k3']])
  expect(sink.renewals).toBe(2)
  sink.requests[1]?.succeed()
  await settled()
  expect(done).toHaveLength(4)
})
