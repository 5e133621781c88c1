import { describe, expect, it } from 'vitest'
import { freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { temporaryDirectory } from '../setup/temporary.ts'

const mebibytes = rounds(128, 1024)
/**
 * A stream of Node allocates a buffer for each chunk, and V8 frees dropped buffers after 32 MiB of them, since Node 22
 * after 64 MiB. To these come the code that the first put loads and the young generation of the heap: 7 to 17 MiB.
 */
const bound = Number.parseInt(process.versions.node, 10) < 22 ? 56 : 88

const directory = temporaryDirectory('blobs')
let uri = ''

async function run(how: string, place = directory, size = mebibytes) {
  const args = [place, String(size), how, uri]
  const script = runScript<{ added: number; uri?: string }>('test/blobs/programs/stream.ts', args)
  const [result] = await script.finished()
  if (!result) throw new Error(`${how} printed nothing`)
  uri ||= result.uri ?? ''
  return result.added
}

// Retried, because the memory of V8's own threads varies from run to run.
it.each([
  ['put() of an iterable', 'in: iterable'],
  ['put() of a path', 'in: path'],
  ['put() of a Node stream', 'in: readable'],
  ['stream() into a pipeline', 'out'],
  ['stream() in a loop', 'out: to a loop'],
])(`%s grows an idle process by at most ${bound} MiB when it moves ${mebibytes} MiB`, { retry: 2 }, async (_, how) => {
  expect(await run(how)).toBeLessThanOrEqual(bound)
})

it('bytes() grows the process by the size of the blob', async () => {
  expect(await run('out: whole')).toBeGreaterThan(mebibytes * 0.9)
})

const inside = rounds(192, 1024)

describe.each<[database: string, most: number, databaseOf: () => Promise<object>]>([
  // A put reads its parts back from the file in which it has kept them, and so drops more buffers.
  ['SQLite', bound + 24, async () => ({})],
  // The protocol of PostgreSQL sends them as text of twice the size: 103 MiB for 128 MiB, 105 for 320.
  ['PostgreSQL', bound + 64, async () => ({ database: { type: 'postgres', url: await freshPostgres() } })],
])('in a database of %s', (_, most, databaseOf) => {
  it(`streams in and out grow an idle process by at most ${most} MiB when they move ${inside} MiB`, {
    retry: 2,
  }, async () => {
    uri = ''
    const place = JSON.stringify({
      type: 'database',
      directory: temporaryDirectory('blobs'),
      ...(await databaseOf()),
    })
    for (const how of ['in: iterable', 'out']) {
      expect(await run(how, place, inside), how).toBeLessThanOrEqual(most)
    }
  })
})
