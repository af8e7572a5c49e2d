import { resolve } from 'node:path'
import { loadConfigFile } from '../config/config-file.ts'
import { withEnvFile } from '../config/env-file.ts'
import { parseRelaySettings, type RelayConfiguration } from '../config/settings.ts'

/**
 * The configuration of this process: flags, environment, `.env` and config file of the working directory.
 *
 * @throws ConfigurationError with every problem at once.
 */
export async function loadConfiguration(
  flags: Readonly<Record<string, unknown>>,
  process: { cwd(): string; readonly env: Readonly<Record<string, string | undefined>> } = globalThis.process,
): Promise<RelayConfiguration> {
  const { config, ...ofTable } = flags
  const folder = process.cwd()
  const file = await loadConfigFile({ folder, path: typeof config === 'string' ? config : undefined })
  return parseRelaySettings({ env: withEnvFile(process.env, resolve(folder, '.env')), flags: ofTable, file })
}
