import { expect, test } from 'vitest'
import { waitFor } from './wait.ts'

test('returns the first truthy answer', async () => {
  let asked = 0
  expect(await waitFor(() => (++asked === 3 ? 'three' : undefined), { what: 'three', intervalMs: 1 })).toBe('three')
})

test('tries again after an error, and tells what it waited for and the last error', async () => {
  const failing = (): boolean => {
    throw new Error('refused')
  }
  const waiting = waitFor(failing, { what: 'the server to answer', timeoutMs: 20, intervalMs: 1 })
  await expect(waiting).rejects.toThrow('waited 20 ms for the server to answer; the last probe failed: Error: refused')
  await expect(waitFor(() => 0, { what: 'more', timeoutMs: 5 })).rejects.toThrow('for more; the last answer was 0')
})
