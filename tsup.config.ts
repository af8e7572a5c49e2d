import { defineConfig } from 'tsup'

// One entry a public import path, plus the command line. ESM and CJS are both built with shared chunks, so that
// `factlib` and `factlib/prisma` in one process are one copy per module system; what must be shared across module
// systems lives on globalThis (src/config.ts).
const entry = {
  index: 'src/index.ts',
  sentry: 'src/trace/sentry.ts',
  consumer: 'src/consumer/index.ts',
  prisma: 'adapters/prisma/index.ts',
  drizzle: 'adapters/drizzle/index.ts',
  sequelize: 'adapters/sequelize/index.ts',
  relay: 'relay/index.ts',
}

const shared = {
  target: 'node20.19',
  platform: 'node',
  sourcemap: false,
  splitting: true,
  treeshake: true,
  skipNodeModulesBundle: true,
} as const

export default defineConfig([
  { ...shared, entry: { ...entry, cli: 'relay/cli/main.ts' }, format: 'esm', dts: { entry }, clean: true },
  { ...shared, entry, format: 'cjs', dts: { entry } },
])
