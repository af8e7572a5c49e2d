/** Resolves to undefined when the limit passes first; the timer never outlives the promise. */
export async function withLimit<T>(promise: Promise<T>, limitMs: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, limitMs, undefined)
  })
  try {
    return await Promise.race([promise, limit])
  } finally {
    clearTimeout(timer)
  }
}

/** For closing, which is best effort: what failed to close is dropped with its sockets. */
export async function settle(promise: Promise<unknown> | undefined): Promise<void> {
  try {
    await promise
  } catch {
    // Said above.
  }
}
