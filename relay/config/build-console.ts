import { isIP } from 'node:net'
import type { BuildContext, Known } from './build.ts'
import type { RelayOptionKey } from './options.ts'

/** Of the console, when it is on. */
export interface ConsoleConfiguration {
  readonly host: string
  readonly port: number
  readonly allowedHosts: readonly string[]
  readonly token: string | undefined
  readonly payloads: boolean
}

const TOKEN_LENGTH_MIN = 16
const OTHERS: readonly RelayOptionKey[] = [
  'consoleHost',
  'consolePort',
  'consoleAllowedHosts',
  'consoleToken',
  'consolePayloads',
]

/** Undefined: off. */
export function buildConsole(
  known: Known,
  { problems, warnings }: Pick<BuildContext, 'problems' | 'warnings'>,
): ConsoleConfiguration | undefined {
  if (known.get<boolean>('console') !== true) {
    for (const key of OTHERS)
      if (!known.isDefault(key))
        warnings.push(`${known.name(key)} has no effect while ${known.name('console')} is not true`)
    return undefined
  }
  const host = known.get<string>('consoleHost') ?? '127.0.0.1'
  const port = known.get<number>('consolePort') ?? 0
  for (const key of ['healthPort', 'metricsPort'] as const)
    if (port !== 0 && port === known.get<number>(key))
      problems.push(`${known.name('consolePort')} is the port of ${known.name(key)}: the console needs one of its own`)
  const token = known.get<string>('consoleToken')
  if (token !== undefined && (token.length < TOKEN_LENGTH_MIN || !/^[\x21-\x7e]+$/.test(token)))
    problems.push(
      `${known.name('consoleToken')} must have ${TOKEN_LENGTH_MIN} or more characters, ASCII without spaces: openssl rand -hex 16 makes one`,
    )
  const allowedHosts = known.get<readonly string[]>('consoleAllowedHosts') ?? []
  for (const name of allowedHosts)
    if (!/^[a-z0-9._-]+$/i.test(name))
      problems.push(`${known.name('consoleAllowedHosts')}: ${JSON.stringify(name)} is no host name (without a port)`)
  if (!isLoopback(host))
    warnings.push(
      `${known.name('consoleHost')} is ${host}: whoever reaches the console sees topics, keys and errors; put a proxy before it that asks who is there`,
    )
  return { host, port, allowedHosts, token, payloads: known.get<boolean>('consolePayloads') === true }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}
