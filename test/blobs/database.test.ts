import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { and, eq } from 'drizzle-orm'
import { type BlobRecord, copyStorage, type Location, openStorage, type StorageConfig } from 'holdfast'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DatabaseBytes } from '../../src/blobs/bytes/database/bytes.ts'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { Database } from '../../src/database/database.ts'
import { openDatabase } from '../../src/database/open.ts'
import { bytesContract } from '../../src/testing/bytes-contract.ts'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { rounds, soak } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'
import { sha256 } from './fixture.ts'
import { blobsOfKilled } from './killed.ts'
import { openLayer } from './layer.ts'
import { eachStore, INSIDE, type Open } from './stores.ts'

const MIB = 1024 * 1024
const sqlite = () => ({ type: 'sqlite' as const, path: join(freshDirectory(), 'a.db') })

describe.each([
  ['SQLite', async (): Promise<StorageConfig> => ({ database: sqlite() })],
  ['PostgreSQL', async (): Promise<StorageConfig> => ({ database: { type: 'postgres', url: await freshPostgres() } })],
  ['memory', async (): Promise<StorageConfig> => ({})],
])('bytes in a database of %s', (_, configure) => {
  let database: Database

  beforeAll(async () => {
    database = await openDatabase(resolveConfig(await configure()).database, { migrate: true })
  })
  afterAll(() => database.close())

  const open = async () => {
    await database.orm.delete(database.tables.blobChunks)
    return new DatabaseBytes(database)
  }

  const damage = async (_: DatabaseBytes, { hash, generation }: Location, data: Uint8Array) => {
    const { blobChunks: c } = database.tables
    await database.orm
      .update(c)
      .set({ data })
      .where(and(eq(c.hash, hash), eq(c.generation, generation)))
  }
  for (const { name, run } of bytesContract(open, { damage })) it(name, run)

  it('quarantine() removes damaged bytes, and has() does not find them', async () => {
    const bytes = await open()
    const staged = await bytes.stage(chunks(randomBytes(MIB)), { maxBytes: MIB })
    const location = { hash: staged.hash, size: staged.size, generation: 'a'.repeat(16) }
    await staged.commit(location.generation)
    await database.orm.update(database.tables.blobChunks).set({ data: randomBytes(MIB / 4) })
    expect(await bytes.has(location)).toBe(false)
    expect(await bytes.quarantine(location)).toBe(true)
    expect(await bytes.size(location)).toBeUndefined()
  })

  it('open() rejects with BLOB_CORRUPTED if a part is missing', async () => {
    const bytes = await open()
    const staged = await bytes.stage(chunks(randomBytes(MIB)), { maxBytes: MIB })
    const location = { hash: staged.hash, size: staged.size, generation: '' }
    await staged.commit('')
    const { blobChunks: c } = database.tables
    const [part] = await database.orm.select().from(c).orderBy(c.start).limit(1)
    await database.orm.update(c).set({ data: new Uint8Array() })
    await expect(bytes.open(location)[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'BLOB_CORRUPTED' })
    expect(part?.data.length).toBe(MIB / 4)
    expect(await bytes.has(location)).toBe(false)
  })
})

/** The size of a put that is stored in twelve parts. */
const LARGE = String(3 * MIB)
const COLLECT = ['collect.unlink', 'collect.commit']
/** The steps of each operation between which the database has changed: at commit.rest, the first of many parts is stored. */
const STEPS: Record<string, string[]> = {
  put: ['put.commit', 'commit.rest', 'put.insert', 'put.acknowledge'],
  delete: COLLECT,
  cleanup: COLLECT,
}
const EVERY_STEP: Record<string, string[]> = {
  put: ['put.reserve', 'put.commit', 'commit.first', 'commit.rest', 'put.insert', 'put.acknowledge'],
  delete: ['delete.remove', 'collect.lock', ...COLLECT],
  cleanup: ['cleanup.select', 'cleanup.mark', 'cleanup.search', 'cleanup.remove', 'collect.lock', ...COLLECT],
  verify: [
    ...['verify.staged', 'verify.damaged', 'verify.missing', 'verify.unreferenced', 'verify.strays', 'verify.usage'],
  ],
}
const KILLS = Object.entries(soak ? EVERY_STEP : STEPS).flatMap(([operation, steps]) =>
  steps.map((step) => [operation, step] as const),
)

eachStore(INSIDE, (open, configure) => {
  it('a transaction has the bytes it has put, and a rollback undoes them', async () => {
    await using storage = await open()
    const data = randomBytes(700_000)
    const rolledBack = storage.transaction(async (tx) => {
      const { id } = await tx.blobs.put(data)
      expect((await tx.blobs.bytes(id)).equals(data)).toBe(true)
      throw new Error('no')
    })
    await expect(rolledBack).rejects.toThrow('no')
    expect(await chunkCount(await configure())).toBe(0)
    const id = await storage.transaction(async (tx) => (await tx.blobs.put(data)).id)
    expect((await storage.blobs.bytes(id)).equals(data)).toBe(true)
    expect(await storage.blobs.verify()).toMatchObject({ ok: true })
    await storage.blobs.delete(id)
    expect(await chunkCount(await configure())).toBe(0)
  })

  it('16 uploads at once are stored, each whole', async () => {
    await using storage = await open()
    const all = Array.from({ length: 16 }, () => randomBytes(MIB))
    const records = await Promise.all(all.map((data) => storage.blobs.put(data)))
    for (const [i, { id }] of records.entries()) {
      expect((await storage.blobs.bytes(id)).equals(all[i] ?? Buffer.of())).toBe(true)
      await storage.blobs.delete(id)
    }
    expect(await chunkCount(await configure())).toBe(0)
  })

  it('put() of many parts whose signal is aborted between two of them ends with ABORTED, and leaves nothing', async () => {
    const abort = new AbortController()
    const reason = new Error('the user pressed cancel')
    const layer = await openLayer(await configure(), {
      onFileStep: (step) => (step === 'commit.rest' ? abort.abort(reason) : undefined),
    })
    const put = layer.blobs.put(randomBytes(2 * MIB), { signal: abort.signal })
    await expect(put).rejects.toMatchObject({ code: 'ABORTED', cause: reason })
    expect(await layer.blobs.stats()).toMatchObject({ count: 0, contents: 0, bytes: 0 })
    expect(await layer.blobs.verify()).toMatchObject({ ok: true })
    await layer.close()
  })

  it('stats() counts the blobs, and erase() removes their bytes', async () => {
    await using storage = await open()
    await storage.scope({ ownerId: 'alice' }).blobs.put(randomBytes(300_000))
    expect(await storage.blobs.stats()).toMatchObject({ count: 1, contents: 1, bytes: 300_000 })
    await storage.erase({ ownerId: 'alice' })
    expect(await chunkCount(await configure())).toBe(0)
  })

  it.each(KILLS)(
    '%s() killed at %s loses no acknowledged blob, and leaves nothing behind after verify()',
    async (operation, step) => {
      const config = JSON.stringify(await configure())
      let argument = randomBytes(8).toString('hex')
      const kept = await withBlob(open, 'kept')
      if (operation !== 'put') argument = (await withBlob(open)).id
      const parts = await chunkCount(await configure())
      const script = runScript('test/blobs/programs/operate.ts', [config, operation, step, argument, LARGE])
      expect(await script.exit, script.output).toMatchObject({ signal: 'SIGKILL' })
      if (step === 'commit.rest') expect(await chunkCount(await configure())).toBe(parts + 1)
      await expectIntact(open, [kept], await configure())
    },
  )

  it('a process killed at any moment loses no acknowledged blob', { timeout: rounds(120_000, 3_600_000) }, async () => {
    const config = JSON.stringify(await configure())
    for (let round = 0; round < rounds(1, 200); round++) {
      await expectIntact(open, await blobsOfKilled(config, [100, 500], '', LARGE), await configure())
    }
  })
})

describe('type: database', () => {
  it('backup() has the blobs as well', async () => {
    const config: StorageConfig = { database: sqlite(), blobStore: { type: 'database' } }
    await using storage = await openStorage(config, quiet)
    const data = randomBytes(MIB)
    const { id } = await storage.blobs.put(data)
    const path = join(freshDirectory(), 'copy.db')
    await storage.backup(path)
    await using copy = await openStorage({ ...config, database: { type: 'sqlite', path } }, quiet)
    expect((await copy.blobs.bytes(id)).equals(data)).toBe(true)
  })

  it('copyStorage() takes blobs from files into a database, and back', async () => {
    const data = randomBytes(MIB)
    const local = () => ({ type: 'local' as const, storePath: join(freshDirectory(), 'blobs') })
    await using files = await openStorage({ database: sqlite(), blobStore: local() }, quiet)
    const { id } = await files.blobs.put(data, { name: 'a.bin' })
    await using inside = await openStorage({ database: sqlite(), blobStore: { type: 'database' } }, quiet)
    await copyStorage(files, inside)
    expect((await inside.blobs.bytes(id)).equals(data)).toBe(true)
    await using again = await openStorage({ database: sqlite(), blobStore: local() }, quiet)
    await copyStorage(inside, again)
    expect((await again.blobs.bytes(id)).equals(data)).toBe(true)
    expect(await again.blobs.verify()).toMatchObject({ ok: true })
  })

  it('is refused for a database whose blobs are in files, and the other way round', async () => {
    const database = sqlite()
    const local = { type: 'local' as const, storePath: join(freshDirectory(), 'blobs') }
    const files = await openStorage({ database, blobStore: local }, quiet)
    await files.blobs.put(Buffer.from('in a file'))
    await files.close()
    const mismatch = { code: 'BLOB_STORE_MISMATCH' }
    await expect(openStorage({ database, blobStore: { type: 'database' } }, quiet)).rejects.toMatchObject(mismatch)
    const other = sqlite()
    const inside = await openStorage({ database: other, blobStore: { type: 'database' } }, quiet)
    await inside.blobs.put(Buffer.from('inside'))
    await inside.close()
    const elsewhere = { type: 'local' as const, storePath: join(freshDirectory(), 'blobs') }
    await expect(openStorage({ database: other, blobStore: elsewhere }, quiet)).rejects.toMatchObject(mismatch)
  })
})

async function* chunks(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data
}

/** Stores a blob. If it is to be kept, a message names it, or a clean-up would take it. */
async function withBlob(open: Open, how?: 'kept'): Promise<BlobRecord> {
  await using storage = await open()
  const record = await storage.blobs.put(randomBytes(300_000))
  if (how === 'kept') await storage.messages.append('keeping', { role: 'user', content: record.uri })
  return record
}

async function chunkCount(config: StorageConfig): Promise<number> {
  const database = await openDatabase(resolveConfig(config).database, { migrate: true })
  try {
    return (await database.orm.select().from(database.tables.blobChunks)).length
  } finally {
    await database.close()
  }
}

/** Expects that every blob can be read, and that after a repair the database has no bytes of anything else. */
async function expectIntact(open: Open, blobs: { id: string; hash: string }[], config: StorageConfig) {
  await using storage = await open()
  for (const { id, hash } of blobs) expect(sha256(await storage.blobs.bytes(id))).toBe(hash)
  await storage.blobs.cleanup({ olderThan: new Date(0) })
  await using later = await open({ now: () => new Date(Date.now() + 2 * 86_400_000) })
  await later.blobs.verify({ repair: true })
  expect(await later.blobs.verify()).toMatchObject({ ok: true })
  const { bytes } = await later.blobs.stats()
  const database = await openDatabase(resolveConfig(config).database, { migrate: true })
  const stored = await database.orm.select().from(database.tables.blobChunks)
  await database.close()
  expect(stored.reduce((sum, { data }) => sum + data.length, 0)).toBe(bytes)
}
