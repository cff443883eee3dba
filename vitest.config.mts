import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['__test__/**/*.spec.ts'],
    // A process per file: the addon is loaded as it is in production, and a crash names its file.
    pool: 'forks',
    testTimeout: 60_000,
    // What is waited for comes at once, or not at all: only a busy machine takes as long as this.
    expect: { poll: { timeout: 20_000 } },
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    globals: false,
    // A forgotten `.only` must not turn the suite green.
    allowOnly: !process.env.CI,
    passWithNoTests: false,
  },
})
