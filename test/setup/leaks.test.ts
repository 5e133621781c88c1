import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, inject, test } from 'vitest'

interface Report {
  testResults: { name: string; status: string; message: string }[]
}

const vitest = join(createRequire(import.meta.url).resolve('vitest/package.json'), '../vitest.mjs')

test('failOnLeaks() fails a test file with the name of what it left open', {
  timeout: 120_000,
}, async () => {
  const run = spawn(process.execPath, [vitest, 'run', '--config', 'test/setup/leaky/vitest.config.ts', '--root', '.'], {
    env: { ...process.env, TEST_POSTGRES_URL: inject('postgresUrl'), TEST_REDIS_URL: inject('redisUrl') },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [output, errors] = await Promise.all([text(run.stdout), text(run.stderr), once(run, 'exit')])
  const report: Report = JSON.parse(output.slice(output.indexOf('{'), output.lastIndexOf('}') + 1))
  const messages = Object.fromEntries(
    report.testResults.map(({ name, status, message }) => [name.split('/').at(-1), `${status} ${message}`]),
  )

  expect(run.exitCode).toBe(1)
  expect(messages, errors).toEqual({
    'none.leak.ts': 'passed ',
    'connection.leak.ts': expect.stringMatching(
      /^failed .*did not close:\n.*PostgreSQL connection \d+, idle: .*left open/s,
    ),
    'timer.leak.ts': expect.stringMatching(/^failed .*did not close:\n +Timeout$/s),
    'process.leak.ts': expect.stringMatching(/^failed .*did not close:\n +ProcessWrap$/s),
    'socket.leak.ts': expect.stringMatching(/^failed .*did not close:\n +TCPServerWrap$/s),
  })
})
