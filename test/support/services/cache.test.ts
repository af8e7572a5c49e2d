import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fillOnce } from './cache.ts'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'factlib-cache-test-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('two that fill at once leave one complete folder, and nobody sees a half-filled one', async () => {
  const target = join(folder, 'kafka')
  let arrived = 0
  let meet: () => void = () => {}
  const both = new Promise<void>((resolve) => {
    meet = resolve
  })
  const fill = async (into: string): Promise<void> => {
    await writeFile(join(into, 'first'), '1')
    arrived += 1
    if (arrived === 2) meet()
    await both
    expect(await readdir(folder)).not.toContain('kafka')
    await writeFile(join(into, 'second'), '2')
  }
  expect(await Promise.all([fillOnce(target, fill), fillOnce(target, fill)])).toEqual([target, target])
  expect(await readdir(folder)).toEqual(['kafka'])
  expect(await readFile(join(target, 'second'), 'utf8')).toBe('2')
})

test('a fill that fails leaves nothing, and the next one tries again', async () => {
  const target = join(folder, 'kafka')
  const failing = fillOnce(target, async () => {
    throw new Error('download failed')
  })
  await expect(failing).rejects.toThrow('download failed')
  expect(await readdir(folder)).toEqual([])
  await fillOnce(target, (into) => writeFile(join(into, 'a'), ''))
  await fillOnce(target, () => Promise.reject(new Error('filled already')))
})
