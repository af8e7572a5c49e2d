import { afterAll, onTestFinished } from 'vitest'

type Cleanup = () => Promise<void> | void

const ofFile: Cleanup[] = []

// Registered while the test file is collected, so before any hook of the file: vitest runs it after all of them.
if (process.env['VITEST']) afterAll(runCleanups)

/** Clears away what is registered, for a program that is not run by vitest (`npm run chaos`); vitest does it by itself. */
export async function runCleanups(): Promise<void> {
  const failures: unknown[] = []
  for (const cleanup of ofFile.splice(0).reverse()) {
    try {
      await cleanup()
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length === 1) throw failures[0]
  if (failures.length > 1) {
    throw new AggregateError(failures, failures.map((failure) => String(failure)).join('\n'))
  }
}

/**
 * Has a resource cleared away by whoever asked for it: at the end of the running test, or of the file when called in
 * `beforeAll` or at its top. Last registered, first run; one that throws fails the test or the file, and the others still run.
 *
 * @example registerCleanup(() => pool.end())
 */
export function registerCleanup(cleanup: Cleanup): void {
  try {
    onTestFinished(cleanup)
  } catch {
    // Not inside a test.
    ofFile.push(cleanup)
  }
}
