import { expect, test } from 'vitest'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { temporaryDirectory } from '../setup/temporary.ts'

const mebibytes = rounds(256, 1024)
/** From Node 24 on V8 frees dropped buffers in full collections alone, which wait for 64 MiB of them. */
const bound = Number.parseInt(process.versions.v8, 10) < 13 ? 8 : 80

const directory = temporaryDirectory('blobs')
let uri = ''

async function run(how: string) {
  const args = [directory, String(mebibytes), how, uri]
  const script = runScript<{ added: number; uri?: string }>('test/blobs/programs/stream.ts', args)
  const [result] = await script.finished()
  if (!result) throw new Error(`${how} has said nothing`)
  uri ||= result.uri ?? ''
  return result.added
}

// What V8's own threads take comes and goes: hence the retries.
test.each(['in: iterable', 'in: path', 'in: readable', 'out', 'out: to a loop'])(
  `a process at rest that moves ${mebibytes} MiB grows by ${bound} MiB at most, %s`,
  { retry: 2 },
  async (how) => {
    expect(await run(how)).toBeLessThanOrEqual(bound)
  },
)

test('read by hand, the dropped buffers pile up', async () => {
  expect(await run('read by hand')).toBeGreaterThan(24)
})

test('read as a whole, it grows by the blob', async () => {
  expect(await run('out: whole')).toBeGreaterThan(mebibytes * 0.9)
})
