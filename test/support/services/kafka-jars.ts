import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { cacheDir, fillOnce } from './cache.ts'

const run = promisify(execFile)
const folder = fileURLToPath(new URL('./kafka/', import.meta.url))

/** The version of Apache Kafka that kafka/pom.xml names. */
export const KAFKA_VERSION = '4.1.1'
export const LOG_CONFIG = join(folder, 'log4j2.properties')
/** Path in a Maven repository → SHA-256. */
export const JAR_LIST = join(folder, 'jars.json')

const COPY_GOAL = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'

/**
 * The folder with Kafka's jars, fetched once from Maven Central and checked against the committed checksums.
 *
 * By `mvn` where it is, else from the Maven repository that `FACTLIB_MAVEN_REPOSITORY` names.
 *
 * @throws when neither works, or a jar has another checksum; the message says what to do
 */
export async function kafkaJars(): Promise<string> {
  const list = JSON.parse(await readFile(JAR_LIST, 'utf8')) as Record<string, string>
  // The list's own checksum is in the name: a changed list is another folder.
  const version = createHash('sha256').update(JSON.stringify(list)).digest('hex').slice(0, 8)
  return fillOnce(join(cacheDir(), `kafka-${KAFKA_VERSION}-${version}`), async (target) => {
    const repository = process.env['FACTLIB_MAVEN_REPOSITORY']
    const tree = join(target, 'maven')
    if (repository) await fetchJars(repository, Object.keys(list), tree)
    else await copyJarsWithMaven(tree)
    for (const [path, sha256] of Object.entries(list)) {
      const bytes = await readFile(join(tree, ...path.split('/')))
      if (checksum(bytes) !== sha256) throw new Error(`${path} has another checksum than the committed one`)
      await writeFile(join(target, basename(path)), bytes)
    }
    await rm(tree, { recursive: true })
  })
}

/** What Maven brings for kafka/pom.xml, as the content of jars.json. */
export async function listJarsWithMaven(target: string): Promise<Record<string, string>> {
  await copyJarsWithMaven(target)
  const files = (await readdir(target, { recursive: true })).filter((file) => file.endsWith('.jar')).sort()
  const entries = files.map(async (file) => [file.split(sep).join('/'), checksum(await readFile(join(target, file)))])
  return Object.fromEntries(await Promise.all(entries)) as Record<string, string>
}

/** The jars that a pom names and theirs, laid out as in a Maven repository. */
export async function copyJarsWithMaven(target: string, pom = join(folder, 'pom.xml')): Promise<void> {
  const options = ['-DincludeScope=runtime', '-Dmdep.useRepositoryLayout=true', `-DoutputDirectory=${target}`]
  try {
    await run('mvn', ['-q', '-B', '-f', pom, COPY_GOAL, ...options], {
      timeout: 300_000,
      shell: process.platform === 'win32',
    })
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new Error(
      missing
        ? 'Maven (`mvn`) is not installed: install it, or set FACTLIB_MAVEN_REPOSITORY to the address of Maven Central or a mirror of it, and the jars are fetched without Maven'
        : `Maven could not bring the jars: ${String((error as { stdout?: unknown }).stdout ?? '').slice(-500)}`,
      { cause: error },
    )
  }
}

async function fetchJars(repository: string, paths: readonly string[], target: string): Promise<void> {
  const queue = [...paths]
  const worker = async (): Promise<void> => {
    for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
      const response = await fetch(`${repository.replace(/\/$/, '')}/${path}`).catch((error: unknown) => {
        throw new Error('the repository that FACTLIB_MAVEN_REPOSITORY names does not answer', { cause: error })
      })
      if (!response.ok)
        throw new Error(`the repository that FACTLIB_MAVEN_REPOSITORY names answered ${response.status} for ${path}`)
      const file = join(target, ...path.split('/'))
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, Buffer.from(await response.arrayBuffer()))
    }
  }
  await Promise.all(Array.from({ length: 6 }, worker))
}

function checksum(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
