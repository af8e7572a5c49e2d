import { readFileSync } from 'node:fs'

export interface Asset {
  readonly body: Buffer
  readonly contentType: string
}

/** Path → file and type. */
const FILES: Readonly<Record<string, readonly [file: string, contentType: string]>> = {
  '/': ['index.html', 'text/html; charset=utf-8'],
  '/app.js': ['app.js', 'text/javascript; charset=utf-8'],
  '/style.css': ['style.css', 'text/css; charset=utf-8'],
  '/icon.svg': ['icon.svg', 'image/svg+xml'],
}

/** Beside the built file; from source, where scripts/build-console.ts has put them. */
const FOLDERS = ['./console/', './page/built/']

/**
 * The page's files, read once.
 *
 * @example readAssets().get('/')?.contentType // 'text/html; charset=utf-8'
 * @throws Error when they were not built.
 */
export function readAssets(): ReadonlyMap<string, Asset> {
  for (const folder of FOLDERS) {
    try {
      return new Map(
        Object.entries(FILES).map(([path, [file, contentType]]) => [
          path,
          { body: readFileSync(new URL(`${folder}${file}`, import.meta.url)), contentType },
        ]),
      )
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  throw new Error("the console's page was not built: run npm run generate")
}
