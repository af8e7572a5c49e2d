import { setTimeout as pause } from 'node:timers/promises'

export interface WaitOptions {
  /** What is waited for, for the error: `the slot to be active`. */
  readonly what: string
  /** Default 15,000. */
  readonly timeoutMs?: number
  /** Between two probes. Default 25. */
  readonly intervalMs?: number
}

type Falsy = false | 0 | 0n | '' | null | undefined

/**
 * Asks until the answer is truthy, and returns it; the only poll of the project, for what gives no signal.
 *
 * @example const row = await waitFor(() => activeSlot(name), { what: `slot ${name} to be active` })
 * @throws an error that names `what`, with the last answer, and the last error of a probe as its cause
 */
export async function waitFor<T>(
  probe: () => T | Promise<T>,
  { what, timeoutMs = 15_000, intervalMs = 25 }: WaitOptions,
): Promise<Exclude<T, Falsy>> {
  const deadline = performance.now() + timeoutMs
  let last: { answer: unknown } | { error: unknown }
  do {
    try {
      const answer = await probe()
      if (answer) return answer as Exclude<T, Falsy>
      last = { answer }
    } catch (error) {
      last = { error }
    }
    await pause(intervalMs)
  } while (performance.now() < deadline)
  if ('error' in last) {
    const { error } = last
    throw new Error(`waited ${timeoutMs} ms for ${what}; the last probe failed: ${String(error)}`, { cause: error })
  }
  throw new Error(`waited ${timeoutMs} ms for ${what}; the last answer was ${String(last.answer)}`)
}
