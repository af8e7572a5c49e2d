import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { ConfigurationError } from '../../src/errors.ts'

type Variables = Readonly<Record<string, string | undefined>>

/**
 * The variables of `path` (a `.env` file) under those of the environment: a variable that the environment has, and that is
 * not empty there, wins. A missing file is no problem.
 *
 * @example
 * ```ts
 * const env = withEnvFile(process.env, '.env')
 * ```
 * @throws ConfigurationError when the file is there and cannot be read.
 */
export function withEnvFile(environment: Variables, path: string): Record<string, string> {
  let text = ''
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT') throw new ConfigurationError([`the file ${path} cannot be read (${code ?? 'unreadable'})`])
  }
  const merged: Record<string, string> = {}
  for (const variables of [parseEnvText(text), environment]) {
    for (const [name, value] of Object.entries(variables)) {
      if (value !== undefined && value !== '') merged[name] = value
    }
  }
  return merged
}

/**
 * The variables of a `.env` file's text. As OwlPost reads it, "#" begins a comment only at the start of a line or after a
 * blank: Node's own parser would cut an unquoted password at its "#", without a word.
 */
export function parseEnvText(text: string): Record<string, string> {
  const variables: Record<string, string> = { ...(parseEnv(text) as Record<string, string>) }
  for (const line of text.split(/\r?\n/)) {
    const [, name, value] = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*([^\s'"`#].*?)\s*$/.exec(line) ?? []
    if (name === undefined || value === undefined) continue
    // Only where Node's parser cut it: within a quoted text of several lines, such a line means nothing.
    const cut = value.split('#')[0]!.trimEnd()
    if (variables[name] === cut) variables[name] = value.replace(/\s+#.*$/, '')
  }
  return variables
}
