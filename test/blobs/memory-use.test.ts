import { expect, test } from 'vitest'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { temporaryDirectory } from '../setup/temporary.ts'

const mebibytes = rounds(256, 1024)

const run = async (how: 'stream' | 'whole') => {
  const args = [temporaryDirectory('blobs'), String(mebibytes), how]
  const options = { nodeArgs: ['--expose-gc'] }
  const [added] = await runScript<{ in: number; out: number }>(
    'test/blobs/programs/stream.ts',
    args,
    options,
  ).finished()
  return added
}

test(`${mebibytes} MiB streamed in and out add at most 8 MiB to the process`, async () => {
  const added = await run('stream')
  expect(added?.in).toBeLessThanOrEqual(8)
  expect(added?.out).toBeLessThanOrEqual(8)
})

test('read as a whole, they add themselves', async () => {
  const added = await run('whole')
  expect(added?.out).toBeGreaterThan(mebibytes * 0.9)
})
