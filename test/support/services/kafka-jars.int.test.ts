import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { JAR_LIST, kafkaJars } from './kafka-jars.ts'

/** A Maven repository on the loopback, of the jars that the cache holds. */
async function serveJars(spoil: (path: string, bytes: Buffer) => Buffer): Promise<string> {
  const jars = await kafkaJars()
  const server = createServer(async (request, response) => {
    const path = request.url?.replace(/^\/maven2\//, '') ?? ''
    response.end(spoil(path, await readFile(join(jars, basename(path)))))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => new Promise((resolve) => server.close(() => resolve())))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/maven2/`
}

async function emptyCache(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'factlib-cache-test-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  onTestFinished(() => {
    vi.unstubAllEnvs()
  })
  return folder
}

test('without Maven the jars come from the named repository, by the committed list', async () => {
  const list = JSON.parse(await readFile(JAR_LIST, 'utf8')) as Record<string, string>
  const repository = await serveJars((_path, bytes) => bytes)
  vi.stubEnv('FACTLIB_CACHE_DIR', await emptyCache())
  vi.stubEnv('FACTLIB_MAVEN_REPOSITORY', repository)
  vi.stubEnv('PATH', '')
  const folder = await kafkaJars()
  expect((await readdir(folder)).sort()).toEqual(
    Object.keys(list)
      .map((path) => basename(path))
      .sort(),
  )
})

test('a jar with another checksum is refused, and nothing of it is kept', async () => {
  const repository = await serveJars((path, bytes) =>
    path.includes('kafka-clients') ? Buffer.concat([bytes, bytes]) : bytes,
  )
  const cache = await emptyCache()
  vi.stubEnv('FACTLIB_CACHE_DIR', cache)
  vi.stubEnv('FACTLIB_MAVEN_REPOSITORY', repository)
  await expect(kafkaJars()).rejects.toThrow(/kafka-clients-.* has another checksum/)
  expect(await readdir(cache)).toEqual([])
})
