import { expect, it } from 'vitest'
import { toLsn } from '../../relay/lsn.ts'
import { silentLogger, silentObserver } from '../../relay/observer.ts'
import { SlotReader } from '../../relay/slot-reader.ts'

function createReader(): SlotReader {
  return new SlotReader({
    source: { open: () => new Promise(() => {}) },
    slot: 's',
    windowFacts: 10,
    windowBytes: 1_000,
    drainTimeoutMs: 0,
    logger: silentLogger,
    observer: silentObserver,
    accepts: () => true,
    interpret: () => undefined,
    destination: { push() {}, dropUnsent() {} },
  })
}

it('leaves nobody waiting when it is stopped before it was started', async () => {
  const reader = createReader()
  const flushed = reader.whenFlushed(toLsn(1n))
  flushed.catch(() => {})
  await reader.stop()
  await expect(flushed).rejects.toThrow('stopped')
  await expect(reader.start()).rejects.toThrow('stopped before it started')
  expect(await reader.whenStopped()).toEqual({ exitCode: 0 })
})

it('leaves nobody waiting when it is stopped while it connects', async () => {
  const reader = createReader()
  const started = reader.start()
  await reader.stop()
  await expect(started).rejects.toThrow('stopped before it started')
  expect(reader.phase).toBe('stopped')
})
