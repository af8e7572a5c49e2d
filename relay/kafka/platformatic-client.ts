import type * as PlatformaticKafka from '@platformatic/kafka'

// The only file that names @platformatic/kafka. It is an optional peer and needs a newer Node than factlib does, so it is
// loaded only when asked for.

/** Exact: below its clients we use its protocol layer, which may change in any version. */
export const PLATFORMATIC_VERSION = '2.12.1'

export type Platformatic = typeof PlatformaticKafka
export type Connection = PlatformaticKafka.Connection
export type ConnectionPool = PlatformaticKafka.ConnectionPool
export type ConnectionOptions = PlatformaticKafka.ConnectionOptions
export type Broker = PlatformaticKafka.Broker

/** Whether this Node.js can run it: 22.22 or newer of the 22 line, 24.6 or newer. */
export function nodeRunsPlatformatic(version: string = process.versions.node): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return (major === 22 && minor >= 22) || (major === 24 && minor >= 6) || major > 24
}

/** The library; undefined when it is not installed. */
export async function loadPlatformatic(): Promise<Platformatic | undefined> {
  try {
    return await import('@platformatic/kafka')
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_MODULE_NOT_FOUND') return undefined
    throw error
  }
}
