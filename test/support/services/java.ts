import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

const OLDEST = 17

/**
 * The `java` to run: of `JAVA_HOME`, else of the path.
 *
 * @throws when there is none, or it is older than 17
 */
export async function findJava(): Promise<string> {
  const home = process.env['JAVA_HOME']
  const java = home ? join(home, 'bin', 'java') : 'java'
  const { stderr } = await promisify(execFile)(java, ['-version']).catch((error: unknown) => {
    throw new Error(`Java is not installed (Kafka 4 needs Java ${OLDEST} or newer)`, { cause: error })
  })
  const major = Number(/version "(\d+)/.exec(stderr)?.[1])
  if (!(major >= OLDEST)) throw new Error(`Java ${major} is too old: Kafka 4 needs Java ${OLDEST} or newer`)
  return java
}
