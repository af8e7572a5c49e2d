import { defineConfig } from 'vitest/config'

// Four kinds of test, told apart by their names (CONTRIBUTING.md): pure, PostgreSQL, end to end, types.

/**
 * Minutes each: faults on each Kafka client and by chance, exactly once, set-ups broken for real, the operator's guide; and the
 * tests' own Kafka brokers. `npm run test:extended`.
 */
const EXTENDED = [
  'test/relay/exactly-once.e2e.test.ts',
  'test/relay/kafka/*.e2e.test.ts',
  'test/relay/doctor/*.e2e.test.ts',
  'test/relay/operations/*.e2e.test.ts',
  'test/chaos/random.e2e.test.ts',
  'test/support/services/*.e2e.test.ts',
]
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
          exclude: ['test/chaos/**', ...EXTENDED, '**/node_modules/**'],
          globalSetup: ['test/support/services/global-setup.ts'],
          maxWorkers: 2,
          // After the pure tests, not among them.
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'extended',
          include: EXTENDED,
          globalSetup: ['test/support/services/global-setup.ts'],
          maxWorkers: 1,
          sequence: { groupOrder: 3 },
        },
      },
      {
        extends: true,
        test: {
          // Faults on servers of their own, which mostly wait: two files at once. `npm run test:chaos`.
          name: 'chaos',
          include: ['test/chaos/**/*.e2e.test.ts'],
          exclude: [...EXTENDED, '**/node_modules/**'],
          globalSetup: ['test/support/services/global-setup.ts'],
          testTimeout: 180_000,
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
