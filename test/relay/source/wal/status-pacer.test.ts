import { describe, expect, it } from 'vitest'
import { StatusPacer } from '../../../../relay/source/wal/status-pacer.ts'

describe('StatusPacer', () => {
  it('sends the first frame at once', () => {
    expect(new StatusPacer(60_000).dueInMs(0)).toBe(0)
  })

  it.each([
    [60_000, 10_000],
    [30_000, 10_000],
    [3_000, 1_000],
    [1, 100],
    [0, 10_000],
  ])('with wal_sender_timeout %i ms it is never silent for more than %i ms', (timeoutMs, periodMs) => {
    const pacer = new StatusPacer(timeoutMs)
    pacer.sent(5_000)
    expect(pacer.dueInMs(5_000)).toBe(periodMs)
    expect(pacer.dueInMs(5_000 + periodMs)).toBe(0)
    expect(pacer.dueInMs(5_000 + periodMs + 1)).toBe(0)
  })

  it('sends a position that moved at once, but at most 10 a second', () => {
    const pacer = new StatusPacer(60_000)
    pacer.sent(1_000)
    pacer.want()
    expect(pacer.dueInMs(1_010)).toBe(90)
    expect(pacer.dueInMs(1_100)).toBe(0)
    pacer.sent(1_100)
    expect(pacer.dueInMs(1_100)).toBe(10_000)
  })

  it('paces answers too: a stopping server asks again after each one', () => {
    const pacer = new StatusPacer(60_000)
    let frames = 0
    for (let nowMs = 1_000; nowMs < 2_000; nowMs++) {
      pacer.requested(nowMs)
      if (pacer.dueInMs(nowMs) === 0) {
        pacer.sent(nowMs)
        frames++
      }
    }
    expect(frames).toBe(10)
  })

  it('knows a stopping server by more than 10 requests in 2 seconds', () => {
    const pacer = new StatusPacer(60_000)
    for (let i = 0; i < 10; i++) expect(pacer.requested(i * 100)).toBe(false)
    expect(pacer.requested(1_000)).toBe(true)
  })

  it('does not take requests of an hour for a stopping server', () => {
    const pacer = new StatusPacer(3_000)
    for (let nowMs = 0; nowMs < 3_600_000; nowMs += 250) expect(pacer.requested(nowMs)).toBe(false)
  })
})
