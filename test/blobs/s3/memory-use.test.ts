import type { S3BlobStoreConfig } from 'holdfast'
import { expect, it } from 'vitest'
import { freshDirectory } from '../../setup/databases.ts'
import { runScript } from '../../setup/processes.ts'
import { rounds } from '../../setup/rounds.ts'

const mebibytes = rounds(128, 1024)
/** As for files: see ../memory-use.test.ts. */
const bound = Number.parseInt(process.versions.v8, 10) < 13 ? 48 : 80

it(
  `streams in and out grow an idle process by at most ${bound} MiB when they move ${mebibytes} MiB`,
  async () => {
    // In a process of its own: a child process begins with the peak memory of its parent, which would hold the bucket.
    const server = runScript<S3BlobStoreConfig>('test/blobs/s3/programs/server.ts', [])
    const place = JSON.stringify({ ...(await server.next()), directory: freshDirectory() })
    let uri = ''
    const run = async (how: string) => {
      const args = [place, String(mebibytes), how, uri]
      const script = runScript<{ added: number; uri?: string }>('test/blobs/programs/stream.ts', args)
      const [result] = await script.finished()
      uri ||= result?.uri ?? ''
      return result?.added ?? Number.POSITIVE_INFINITY
    }
    for (const how of ['in: iterable', 'out', 'out: to a loop']) {
      // Tried again, because the memory of V8's own threads varies from run to run.
      const added = [await run(how)]
      while (added.length < 3 && Math.min(...added) > bound) added.push(await run(how))
      expect(Math.min(...added), how).toBeLessThanOrEqual(bound)
    }
  },
  rounds(120_000, 600_000),
)
