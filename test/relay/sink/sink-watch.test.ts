import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { silentLogger } from '../../../relay/observer.ts'
import { SinkWatch } from '../../../relay/sink/sink-watch.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it('does not wait longer for an answer than whoever asks for our health does', async () => {
  let answers = true
  const watch = new SinkWatch(
    { name: 'silent', check: () => (answers ? Promise.resolve() : new Promise(() => {})) },
    silentLogger,
  )
  watch.start()
  await vi.advanceTimersByTimeAsync(1)
  expect(watch.trouble).toBeUndefined()
  answers = false
  await vi.advanceTimersByTimeAsync(15_000)
  expect(watch.trouble).toBe('Kafka does not answer within 5 s')
  watch.stop()
})
