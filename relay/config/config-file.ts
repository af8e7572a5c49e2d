import { existsSync, readFileSync } from 'node:fs'
import { extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ConfigurationError } from '../../src/errors.ts'

/** What a config file said, not yet checked. */
export interface ConfigFile {
  /** As the user wrote it, for messages. */
  readonly path: string
  readonly options: Readonly<Record<string, unknown>>
}

/** Looked for in the working directory, in this order, when no file is named. */
export const CONFIG_FILE_NAMES = ['factlib-relay.config.mjs', 'factlib-relay.config.js', 'factlib-relay.config.json']

/**
 * Loads the named config file, or the first of `CONFIG_FILE_NAMES` in `folder`; undefined when none is named or there.
 * A module exports its options as the default; a JSON file is one object.
 *
 * @example
 * ```ts
 * const file = await loadConfigFile({ folder: process.cwd(), path: undefined })
 * ```
 * @throws ConfigurationError when the file is missing, cannot be loaded, or holds no object.
 */
export async function loadConfigFile(where: {
  folder: string
  path: string | undefined
}): Promise<ConfigFile | undefined> {
  const path = where.path ?? CONFIG_FILE_NAMES.find((name) => existsSync(resolve(where.folder, name)))
  if (path === undefined) return undefined
  const full = resolve(where.folder, path)
  if (!existsSync(full)) throw new ConfigurationError([`--config: there is no file ${path}`])
  const options = extname(full) === '.json' ? readJson(full, path) : await importModule(full, path)
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new ConfigurationError([`${path} must hold one object of options (a module: as its default export)`])
  }
  return { path, options: options as Readonly<Record<string, unknown>> }
}

function readJson(full: string, path: string): unknown {
  let text: string
  try {
    text = readFileSync(full, 'utf8')
  } catch (error) {
    throw new ConfigurationError([`${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unreadable'})`])
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    // The parser's message quotes the text around the mistake, which may hold a password: only its place is passed on.
    const place = /position \d+(?: \(line \d+ column \d+\))?/.exec((error as Error).message)?.[0]
    throw new ConfigurationError([`${path} is not valid JSON${place === undefined ? '' : ` at ${place}`}`])
  }
}

async function importModule(full: string, path: string): Promise<unknown> {
  let module: { default?: unknown }
  try {
    module = await import(pathToFileURL(full).href)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_UNKNOWN_FILE_EXTENSION') {
      throw new ConfigurationError([
        `${path}: this kind of file cannot be loaded: write .mjs, .js or .json (compile TypeScript first)`,
      ])
    }
    throw new ConfigurationError(
      [`${path} cannot be loaded: ${error instanceof Error ? `${error.name}: ${error.message}` : 'it threw'}`],
      {
        cause: error,
      },
    )
  }
  // A CommonJS module that was compiled from `export default` has its default one level down.
  const exported = module.default
  const inner = (exported as { __esModule?: unknown; default?: unknown } | undefined)?.__esModule === true
  return inner ? (exported as { default?: unknown }).default : exported
}
