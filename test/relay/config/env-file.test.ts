import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadConfigFile } from '../../../relay/config/config-file.ts'
import { parseEnvText, withEnvFile } from '../../../relay/config/env-file.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'factlib-config-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function write(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

test('.env: quotes, comments, export, and a "#" inside a value', () => {
  const text = [
    '# a comment',
    'PLAIN=value',
    'export EXPORTED=1',
    'EMPTY=',
    'COMMENTED=value # not this',
    "QUOTED='a # b'",
    'DOUBLE="a#b"',
    'PASSWORD=ab#cd',
    'URL=postgres://u:p#w@h/d # not this',
    'SPACES = x y ',
    'PEM="line 1',
    'PLAIN=inside#a text',
    'line 3"',
  ].join('\n')
  expect(parseEnvText(text)).toEqual({
    PLAIN: 'value',
    EXPORTED: '1',
    EMPTY: '',
    COMMENTED: 'value',
    QUOTED: 'a # b',
    DOUBLE: 'a#b',
    PASSWORD: 'ab#cd',
    URL: 'postgres://u:p#w@h/d',
    SPACES: 'x y',
    PEM: 'line 1\nPLAIN=inside#a text\nline 3',
  })
})

test('.env lies under the environment, and an empty variable does not cover it', () => {
  const path = write('.env', 'A=file\nB=file\nC=file\n')
  expect(withEnvFile({ A: 'real', B: '', D: 'real' }, path)).toEqual({ A: 'real', B: 'file', C: 'file', D: 'real' })
  expect(withEnvFile({ A: 'real' }, join(folder, 'missing'))).toEqual({ A: 'real' })
})

test('config files: named, found, missing', async () => {
  expect(await loadConfigFile({ folder, path: undefined })).toBeUndefined()
  write('factlib-relay.config.json', '{ "prefix": "json" }')
  expect(await loadConfigFile({ folder, path: undefined })).toEqual({
    path: 'factlib-relay.config.json',
    options: { prefix: 'json' },
  })
  write('factlib-relay.config.mjs', 'export default { prefix: "mjs", routes: [{ handle: async () => {} }] }')
  expect(await loadConfigFile({ folder, path: undefined })).toMatchObject({
    path: 'factlib-relay.config.mjs',
    options: { prefix: 'mjs' },
  })
  write('compiled.cjs', 'exports.__esModule = true; exports.default = { prefix: "cjs" }')
  expect(await loadConfigFile({ folder, path: 'compiled.cjs' })).toMatchObject({ options: { prefix: 'cjs' } })
  await expect(loadConfigFile({ folder, path: 'gone.json' })).rejects.toThrow('--config: there is no file gone.json')
})

test('a broken config file is one problem, without its text', async () => {
  write('bad.json', '{ "kafkaPassword": "hunter22" oops }')
  const error = await loadConfigFile({ folder, path: 'bad.json' }).catch((thrown: Error) => thrown)
  expect((error as Error).message).toMatch(/bad\.json is not valid JSON/)
  expect((error as Error).message).not.toContain('hunter')
  // Here the parser's own message would quote it.
  write('secret.json', 'hunter22')
  await expect(loadConfigFile({ folder, path: 'secret.json' })).rejects.toThrow(/^[^"]*secret\.json is not valid JSON$/)
  write('array.json', '[]')
  await expect(loadConfigFile({ folder, path: 'array.json' })).rejects.toThrow('must hold one object')
  write('throws.mjs', 'throw new TypeError("no such thing")')
  await expect(loadConfigFile({ folder, path: 'throws.mjs' })).rejects.toThrow(
    'throws.mjs cannot be loaded: TypeError: no such thing',
  )
  write('named.mjs', 'export const prefix = "shop"')
  await expect(loadConfigFile({ folder, path: 'named.mjs' })).rejects.toThrow('default export')
})
