// The page of the relay's console, for a relay that runs from source: into relay/console/page/built.
import { mkdir, mkdtemp, readdir, rename, rm, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'tsup'
import { consolePage } from './console-page.ts'

const target = fileURLToPath(new URL('../relay/console/page/built', import.meta.url))

// Whole files only, for whoever reads them meanwhile.
await mkdir(target, { recursive: true })
const folder = await mkdtemp(`${target}-`)
try {
  await build({ ...consolePage(folder), silent: true })
  for (const name of await readdir(folder)) await rename(join(folder, name), join(target, name))
  await utimes(join(target, 'index.html'), new Date(), new Date())
} finally {
  await rm(folder, { recursive: true, force: true })
}
