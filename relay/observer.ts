import type { RelayLogger, RelayObserver } from './types.ts'

/** Hears nothing; where the caller gave no observer. */
export const silentObserver: RelayObserver = {
  consumed() {},
  handled() {},
  handlerFailed() {},
  produced() {},
  produceFailed() {},
  replicationError() {},
}

/** Says nothing; a library does not write to its user's terminal unasked. */
export const silentLogger: RelayLogger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
}
