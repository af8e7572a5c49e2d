import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Options } from 'tsup'

const root = fileURLToPath(new URL('..', import.meta.url))
const page = join(root, 'relay/console/page')

/**
 * How tsup builds the page of the relay's console: everything in it is bundled, it must work without a network.
 *
 * @example export default defineConfig([consolePage('dist/console')])
 */
export function consolePage(outDir: string): Options {
  return {
    entry: { app: join(page, 'app.ts'), style: join(page, 'style.css') },
    outDir,
    format: 'esm',
    outExtension: () => ({ js: '.js' }),
    platform: 'browser',
    target: ['chrome111', 'firefox113', 'safari16.4'],
    noExternal: [/./],
    minify: true,
    splitting: false,
    sourcemap: false,
    dts: false,
    config: false,
    silent: true,
    async onSuccess() {
      await mkdir(outDir, { recursive: true })
      for (const name of ['index.html', 'icon.svg']) await copyFile(join(page, name), join(outDir, name))
      // They ask for it: the first is in app.js, the others in the server's part of the console.
      const licences = ['uplot', 'hono', '@hono/node-server'].map(async (name) => {
        return `${name}\n\n${await readFile(join(root, 'node_modules', name, 'LICENSE'), 'utf8')}`
      })
      await writeFile(join(outDir, 'third-party.LICENSE'), (await Promise.all(licences)).join('\n\n'))
    },
  }
}
