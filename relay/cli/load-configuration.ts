import { resolve } from 'node:path'
import { loadConfigFile } from '../config/config-file.ts'
import { withEnvFile } from '../config/env-file.ts'
import { parseRelaySettings, type RelayConfiguration } from '../config/settings.ts'

/**
 * The configuration of this process: flags, environment, `.env` and config file of the working directory.
 *
 * @param fallback options that stand in where nobody gives them, for a command that needs less than the relay.
 * @throws ConfigurationError with every problem at once.
 */
export async function loadConfiguration(
  flags: Readonly<Record<string, unknown>>,
  process: { cwd(): string; readonly env: Readonly<Record<string, string | undefined>> } = globalThis.process,
  fallback: Readonly<Record<string, string>> = {},
): Promise<RelayConfiguration> {
  const { config, ...ofTable } = flags
  const folder = process.cwd()
  const file = await loadConfigFile({ folder, path: typeof config === 'string' ? config : undefined })
  const env = environment(folder, process.env)
  return parseRelaySettings({
    env,
    flags: ofTable,
    file:
      Object.keys(fallback).length === 0
        ? file
        : { path: file?.path ?? 'fallback', options: { ...fallback, ...file?.options } },
  })
}

/** The variables of this process over those of the `.env` file of the folder. */
export function environment(
  folder: string,
  env: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string | undefined>> {
  return withEnvFile(env, resolve(folder, '.env'))
}
