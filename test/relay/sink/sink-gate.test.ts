import { describe, expect, it } from 'vitest'
import { SinkGate } from '../../../relay/sink/sink-gate.ts'
import { settled } from '../entries.ts'
import { ManualTime, ScriptedSink } from '../scripted-sink.ts'

function bench() {
  const sink = new ScriptedSink()
  const time = new ManualTime()
  return { sink, time, gate: new SinkGate(sink, { delay: time.delay, settleLimitMs: 10_000 }) }
}

describe('SinkGate', () => {
  it('renews only after the open sends have settled, and lets the next ones wait for it', async () => {
    const { sink, gate } = bench()
    let finish!: () => void
    sink.renewing = new Promise((resolve) => {
      finish = resolve
    })
    const first = gate.send('t', 0, [])
    const second = gate.send('t', 1, [])
    let renewed = false
    void gate.renew().then(() => {
      renewed = true
    })
    void gate.send('t', 2, [])
    await settled()
    expect(sink.requests).toHaveLength(2)
    expect(sink.renewals).toBe(0)
    sink.requests[0]?.succeed()
    await first
    await settled()
    expect(sink.renewals).toBe(0)
    sink.requests[1]?.fail('retry')
    await expect(second).rejects.toMatchObject({ kind: 'retry' })
    await settled()
    expect(sink.renewals).toBe(1)
    expect(sink.requests).toHaveLength(2)
    expect(renewed).toBe(false)
    finish()
    await settled()
    expect(renewed).toBe(true)
    expect(sink.requests).toHaveLength(3)
    expect(sink.violations).toEqual([])
  })

  it('renews once for all who ask at once, and again for who asks later', async () => {
    const { sink, gate } = bench()
    await Promise.all([gate.renew(), gate.renew(), gate.renew()])
    expect(sink.renewals).toBe(1)
    await gate.renew()
    expect(sink.renewals).toBe(2)
  })

  it('gives up waiting for a send that never settles', async () => {
    const { sink, gate, time } = bench()
    void gate.send('t', 0, [])
    void gate.renew()
    await settled()
    time.pass(9_999)
    await settled()
    expect(sink.renewals).toBe(0)
    time.pass(1)
    await settled()
    expect(sink.renewals).toBe(1)
  })

  it('goes on until the brokers answer, and ends when it is closed', async () => {
    const { sink, gate, time } = bench()
    let refused = 0
    sink.renew = async () => {
      refused++
      throw new Error('no broker answers')
    }
    const renewal = gate.renew()
    for (let i = 0; i < 3; i++) {
      await settled()
      time.pass(60_000)
    }
    await settled()
    expect(refused).toBe(4)
    gate.close()
    time.pass(60_000)
    await renewal
    expect(refused).toBe(4)
  })
})
