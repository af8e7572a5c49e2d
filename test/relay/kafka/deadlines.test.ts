import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createDeferred } from '../../../relay/deferred.ts'
import { Deadlines } from '../../../relay/kafka/deadlines.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it('gives up what is late, and only that, with one timer', async () => {
  const deadlines = new Deadlines(1_000)
  const [never, late, answered, failed] = Array.from({ length: 4 }, () => createDeferred<string>())
  const ends: Record<string, unknown> = {}
  const watch = (name: string, promise: Promise<string>) =>
    void deadlines.within(promise).then(
      (value) => (ends[name] = value),
      (error: Error) => (ends[name] = error.message),
    )
  watch('never', never!.promise)
  await vi.advanceTimersByTimeAsync(400)
  watch('late', late!.promise)
  watch('answered', answered!.promise)
  watch('failed', failed!.promise)
  expect(vi.getTimerCount()).toBe(1)
  answered!.resolve('yes')
  failed!.reject(new Error('no'))
  await vi.advanceTimersByTimeAsync(599)
  expect(ends).toEqual({ answered: 'yes', failed: 'no' })
  await vi.advanceTimersByTimeAsync(1)
  expect(ends).toEqual({ answered: 'yes', failed: 'no', never: undefined })
  expect('never' in ends && !('late' in ends)).toBe(true)
  await vi.advanceTimersByTimeAsync(400)
  expect('late' in ends).toBe(true)
  expect(ends['late']).toBeUndefined()
  expect(vi.getTimerCount()).toBe(0)
  late!.resolve('too late')
  await vi.advanceTimersByTimeAsync(0)
  expect(ends['late']).toBeUndefined()
})

it('keeps nothing of what was answered in time', async () => {
  const deadlines = new Deadlines(1_000)
  await deadlines.within(Promise.resolve('first'))
  await vi.advanceTimersByTimeAsync(400)
  await deadlines.within(Promise.resolve('second'))
  await expect(deadlines.within(Promise.reject(new Error('third')))).rejects.toThrow('third')
  await vi.advanceTimersByTimeAsync(600)
  expect(vi.getTimerCount()).toBe(0)
})
