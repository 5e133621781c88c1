import { defineConfig } from 'vitest/config'
import { soak } from './test/setup/rounds.ts'
import { Sequencer } from './test/setup/sequencer.ts'

const minute = 60_000

export default defineConfig({
  resolve: { tsconfigPaths: true }, // 'holdfast' and its entry points are the sources
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/setup/global.ts',
    setupFiles: 'test/setup/each-file.ts',
    reporters: ['default', './test/setup/reporter.ts'],
    pool: 'forks', // tests send signals to processes and watch what keeps their own alive
    sequence: { sequencer: Sequencer },
    maxWorkers: 4, // two more than most machines of CI have cores: many tests wait
    testTimeout: soak ? 120 * minute : 2 * minute, // generous: a busy machine is no failure
    hookTimeout: 5 * minute, // one test file packs the package, and others wait for it
    teardownTimeout: minute / 2,
    expect: { poll: { timeout: minute / 2 } },
  },
})
