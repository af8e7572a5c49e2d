import { readFileSync } from 'node:fs'

/** The package's version, from the nearest package.json above this file: the file is elsewhere once it is built. */
export function packageVersion(): string {
  for (const up of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8')) as {
        name?: unknown
        version?: unknown
      }
      if (name === 'factlib' && typeof version === 'string') return version
    } catch {
      // Not here: one folder further up.
    }
  }
  return 'unknown'
}
