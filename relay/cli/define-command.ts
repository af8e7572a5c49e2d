import type { Command } from 'commander'
import { CliError, COMMAND_EXIT } from './cli-error.ts'
import { type CommandWords, withOwnOptions } from './with-settings.ts'

// How a command of the operator is made: words, options, action, exit code.

export type Flags = Readonly<Record<string, unknown>>

export const JSON_OPTION = ['--json', 'one JSON object instead of text; its keys stay'] as const
export const YES_OPTION = ['--yes', 'do not ask'] as const
export interface CommandDefinition extends CommandWords {
  /** Resolves to the exit code. */
  action(flags: Flags, args: readonly string[]): Promise<number>
}

/** Ends the process with the command's code: a client that does not close must not keep the operator waiting. */
export function define(command: Command, path: string, { action, ...words }: CommandDefinition): void {
  withOwnOptions(command, path, words).action(async (...given: unknown[]) => {
    const [flags, ...args] = [given.at(-2) as Flags, ...given.slice(0, -2)]
    // An argument that was left out is there as undefined.
    await exit(
      await action(
        flags,
        args.filter((arg) => typeof arg === 'string'),
      ),
    )
  })
}

/** After what was written has left: standard output may be a pipe. */
async function exit(code: number): Promise<void> {
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()))
  process.exit(code)
}

export function text(flags: Flags, key: string): string | undefined {
  const value = flags[key]
  return typeof value === 'string' ? value : undefined
}

export function texts<K extends string>(flags: Flags, keys: readonly K[]): { readonly [key in K]?: string } {
  const given = keys.flatMap((key) => {
    const value = text(flags, key)
    return value === undefined ? [] : [[key, value] as const]
  })
  return Object.fromEntries(given) as { readonly [key in K]?: string }
}

export function list(flags: Flags, key: string): readonly string[] {
  return (text(flags, key) ?? '').split(',').filter((item) => item.trim() !== '')
}

export function count(flags: Flags, key: string): number | undefined {
  const value = text(flags, key)
  if (value === undefined) return undefined
  if (!/^\d{1,9}$/.test(value))
    throw new CliError(`--${key} must be a whole number`, { exitCode: COMMAND_EXIT.unusable })
  return Number(value)
}

export function booleans<K extends string>(flags: Flags, keys: readonly K[]): { readonly [key in K]?: boolean } {
  return Object.fromEntries(keys.map((key) => [key, flags[key] === true])) as { readonly [key in K]?: boolean }
}
