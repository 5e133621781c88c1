import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { openStorage, type StorageConfig } from 'holdfast'
import { startS3Server } from 'holdfast/testing'
import { afterAll, expect, it } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { quiet } from '../setup/silent.ts'
import { openLayer } from './layer.ts'

const MINUTE = 60_000

const server = startS3Server()
afterAll(async () => (await server).close())

const sqlite = () => ({ type: 'sqlite' as const, path: join(freshDirectory(), 'a.db') })
const stores: Record<string, () => Promise<StorageConfig>> = {
  'local files': async () => ({
    database: sqlite(),
    blobStore: { type: 'local', storePath: join(freshDirectory(), 'blobs') },
  }),
  'a database of SQLite': async () => ({ database: sqlite(), blobStore: { type: 'database' } }),
  'a database of PostgreSQL': async () => ({
    database: { type: 'postgres', url: await freshPostgres(), maxConnections: 2 },
    blobStore: { type: 'database' },
  }),
  'a bucket': async () => ({ database: sqlite(), blobStore: (await server).config }),
}

it.each(Object.entries(stores))(
  'an upload whose process was killed leaves nothing in %s after its lease',
  async (_, configure) => {
    const config = await configure()
    const script = runScript('test/blobs/programs/operate.ts', [
      JSON.stringify(config),
      'put',
      'put.insert', // the bytes are stored, and no record has them
      randomBytes(8).toString('hex'),
    ])
    expect(await script.exit, script.output).toMatchObject({ signal: 'SIGKILL' })
    const maintained = async (minutes: number) => {
      await using storage = await openStorage(config, { ...quiet, now: () => new Date(Date.now() + minutes * MINUTE) })
      await storage.maintain()
      const layer = await openLayer(config)
      const objects = []
      for await (const location of layer.bytes.list()) objects.push(location)
      await layer.close()
      return { ...(await storage.blobs.stats()), objects: objects.length }
    }
    // Others must not take away what a slow put still needs.
    expect(await maintained(30)).toMatchObject({ count: 0, bytes: 600_000, objects: 1 })
    expect(await maintained(61)).toMatchObject({ count: 0, contents: 0, bytes: 0, objects: 0 })
  },
)
