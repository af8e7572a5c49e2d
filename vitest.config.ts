import { defineConfig } from 'vitest/config'

// Four kinds of test, told apart by their names (CONTRIBUTING.md): pure, PostgreSQL, end to end, types.
export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
    allowOnly: false,
    passWithNoTests: false,
    pool: 'forks',
    projects: [
      {
        extends: true,
        test: {
          name: 'pure',
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.{int,e2e}.test.ts', '**/node_modules/**'],
          testTimeout: 10_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'servers',
          include: ['test/**/*.int.test.ts', 'test/**/*.e2e.test.ts'],
          exclude: ['**/node_modules/**'],
          globalSetup: ['test/support/services/global-setup.ts'],
          maxWorkers: 2,
          // After the pure tests, not among them.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
