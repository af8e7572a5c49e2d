import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig } from 'tsup'
import { consolePage } from './scripts/console-page.ts'

// One entry a public import path, plus the command line. ESM and CJS are both built with shared chunks, so that
// `factlib` and `factlib/prisma` in one process are one copy per module system; what must be shared across module
// systems lives on globalThis (src/config.ts).
const entry = {
  index: 'src/index.ts',
  sentry: 'src/trace/sentry.ts',
  otel: 'src/trace/otel.ts',
  metrics: 'src/metrics/index.ts',
  consumer: 'src/consumer/index.ts',
  prisma: 'adapters/prisma/index.ts',
  drizzle: 'adapters/drizzle/index.ts',
  sequelize: 'adapters/sequelize/index.ts',
  pg: 'adapters/pg/index.ts',
  relay: 'relay/index.ts',
}

const shared = {
  outDir: process.env['FACTLIB_BUILD_DIR'] || 'dist',
  target: 'node20.19',
  platform: 'node',
  sourcemap: false,
  splitting: true,
  treeshake: true,
  skipNodeModulesBundle: true,
  // A package of the user's cannot stand in for Node's own.
  removeNodeProtocol: false,
} as const

// Here, and not by `clean`: the builds below run at once, and one would remove what another has written.
rmSync(shared.outDir, { recursive: true, force: true })

export default defineConfig([
  {
    ...shared,
    entry: { ...entry, cli: 'relay/cli/main.ts' },
    format: 'esm',
    // Only what the console needs of it: installed whole, it would be a quarter of what everybody gets.
    noExternal: [/^hono/, /^@hono\/node-server/],
  },
  // Shims: the relay finds its package.json by `import.meta.url`.
  { ...shared, entry, format: 'cjs', shims: true },
  // The types of both in one pass: it is the slow part.
  { ...shared, entry, format: ['esm', 'cjs'], dts: { entry, only: true } },
  consolePage(join(shared.outDir, 'console')),
])
