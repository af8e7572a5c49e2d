import type { RelayConfiguration } from '../config/settings.ts'

/** Prints the settings as the relay would take them, where each comes from, and what may not be meant; secrets masked. */
export function checkConfig(
  configuration: RelayConfiguration,
  write: (text: string) => void = (text) => process.stdout.write(text),
): void {
  const rows = configuration.effective.filter((row) => row.value !== '')
  const width = Math.max(...rows.map((row) => row.key.length))
  for (const { key, value, from } of rows) write(`${key.padEnd(width)}  ${value}  (${from})\n`)
  for (const [index, route] of configuration.routes.entries()) {
    const { topic, handle: _, ...match } = route
    const what = Object.entries(match).map(([name, value]) => `${name}=${value}`)
    write(
      `routes[${index}]  ${what.join(' ') || 'every fact'} → ${topic === undefined ? 'a handler' : `topic ${topic}`}\n`,
    )
  }
  for (const warning of configuration.warnings) write(`warning: ${warning}\n`)
  write('The configuration is usable.\n')
}
