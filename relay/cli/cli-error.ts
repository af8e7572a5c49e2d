/** A command could not do what it was told to, for a reason that is said: no defect. Ends the process with `exitCode`. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly exitCode: number

  constructor(message: string, options: { readonly exitCode?: number; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.exitCode = options.exitCode ?? COMMAND_EXIT.failed
  }
}

/** Exit codes of the commands beside `run`, whose codes are in policy.ts; docs/operations.md lists them. */
export const COMMAND_EXIT = {
  done: 0,
  /** Refused, unreachable, not found; of `doctor`: works, with warnings. */
  failed: 1,
  /** A setting or argument is wrong; of `doctor`: the relay cannot work. */
  unusable: 2,
} as const
