import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { type ArchiveProgress, copyStorage, importInto, openStorage, type Storage, type StorageConfig } from 'holdfast'
import postgres from 'postgres'
import { describe, expect, it, vi } from 'vitest'
import { serve } from '../blobs/s3/fixture.ts'
import { freshDirectory, sharedDatabases } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { digests, fill } from './filled.ts'
import { type Kind, kinds, newDirectory, openKind } from './kinds.ts'

const routes: [from: Kind, to: Kind][] = [
  ['sqlite', 'postgres'],
  ['postgres', 'sqlite'],
  ['in-memory', 'postgres'],
  ['in-memory, local blobs', 'in-memory'],
  ['postgres', 'sqlite, blobs in memory'],
  ['sqlite, blobs in the database', 'postgres, blobs in the database'],
  ['postgres, blobs in the database', 'sqlite'],
]

async function openFilled(kind: Kind): Promise<Storage> {
  const storage = await openKind(kind)
  await fill(storage, 'nobody')
  await fill(storage.scope({ ownerId: 'ada' }), 'ada')
  return storage
}

describe.each(routes)('copyStorage() from %s', (from, to) => {
  it(`into ${to} copies all rows and blobs, and a second copy changes nothing`, async () => {
    const source = await openFilled(from)
    const target = await openKind(to)
    const report = await copyStorage(source, target, { verify: true })
    expect(report).toMatchObject({ unchanged: 0, refused: 0, resumed: false, equal: true })
    const rows = report.comparison?.map((table) => table.to.rows) ?? []
    expect(rows.reduce((sum, each) => sum + each, 0)).toBe(report.inserted)
    const after = await digests(target)
    expect(await target.blobs.verify()).toMatchObject({ ok: true })
    expect(await copyStorage(source, target)).toMatchObject({ inserted: 0, unchanged: report.inserted, refused: 0 })
    expect(await digests(target)).toEqual(after)
    const [last] = (await source.events.list({ order: 'desc', limit: 1 })).items
    expect((await target.events.append({ type: 'later' })).seq).toBe((last?.seq ?? 0) + 1)
  })
})

it('copyStorage() with verify says which tables differ, and by how many rows', async () => {
  const source = await openFilled('in-memory')
  const target = await openKind('postgres')
  await target.kv.set('own', 1)
  await target.prompts.save({ name: 'prompt-nobody', content: 'other' })
  const report = await copyStorage(source, target, { verify: true })
  expect(report).toMatchObject({ equal: false, refused: 1 })
  expect(report.refusals).toEqual([
    { table: 'prompts', key: ['', 'prompt-nobody'], reason: expect.stringContaining('another row') },
  ])
  const different = report.comparison?.filter(({ equal }) => !equal)
  expect(different?.map(({ table, from, to }) => [table, to.rows - from.rows])).toEqual([
    ['kv', 1],
    ['prompts', 0],
  ])
})

it('copyStorage() leaves out a blob that is deleted meanwhile', async () => {
  const source = await openFilled('sqlite')
  const target = await openKind('postgres')
  const goes = await source.blobs.put(Buffer.from('goes'))
  let deleting: Promise<unknown> | undefined
  const report = await copyStorage(source, target, {
    onProgress: ({ table }) => {
      if (table === 'sessions') deleting = source.blobs.delete(goes.uri)
    },
  })
  await deleting
  expect(report.refusals.map(({ table }) => table)).toEqual(['blobContent', 'blobs'])
  expect((await copyStorage(source, target, { verify: true })).equal).toBe(true)
  expect(await target.blobs.verify()).toMatchObject({ ok: true })
})

describe.each(sharedDatabases)('copyStorage() from %s', (_, configure) => {
  it('leaves out contents that no blob has: those of puts under way, and those that wait for the collector', async () => {
    const database = await configure()
    const blobStore = { type: 'local', storePath: join(newDirectory(), 'blobs') } as const
    await using source = await openStorage({ database, blobStore }, quiet)
    await source.blobs.put(Buffer.from('kept'))
    const { id } = await source.blobs.put(Buffer.from('waits'))
    await run(database, [
      `insert into blob_content (hash, size, state, generation) values ('${'ab'.repeat(32)}', 5, 'pending', '0123456789abcdef')`,
      `delete from blobs where id = '${id}'`,
    ])
    const target = await openKind('sqlite')
    const report = await copyStorage(source, target, { verify: true })
    expect(report).toMatchObject({ tables: { blobContent: { inserted: 1 } }, refused: 0, equal: true })
    expect(await target.blobs.verify()).toMatchObject({ ok: true })
    expect((await source.export(newDirectory())).blobs.contents).toBe(1)
  })
})

it.each(['export', 'copy'] as const)(
  '%s leaves out a blob that is deleted meanwhile while somebody puts its bytes again',
  async (way) => {
    const path = join(freshDirectory(), 'agent.db')
    const blobStore = { type: 'local', storePath: join(newDirectory(), 'blobs') } as const
    await using source = await openStorage({ database: { type: 'sqlite', path }, blobStore }, quiet)
    const stays = await source.blobs.put(Buffer.from('stays'))
    const goes = await source.blobs.put(Buffer.from('goes'))
    await source.sessions.create({ id: 'chat' })
    const onProgress = ({ table }: ArchiveProgress) => {
      if (table !== 'sessions') return
      const file = new Database(path)
      // What a deletion leaves, and a put that has reserved the content and not stored it yet.
      file.exec(`delete from blobs where id = '${goes.id}'`)
      file.exec(
        `update blob_content set state = 'pending', generation = '0123456789abcdef' where hash = '${goes.hash}'`,
      )
      file.close()
    }
    const target = await openKind('postgres')
    if (way === 'export') {
      const directory = newDirectory()
      expect((await source.export(directory, { onProgress })).blobs.contents).toBe(1)
      expect(await importInto(target, directory)).toMatchObject({ refused: 0 })
    } else {
      const { refusals } = await copyStorage(source, target, { onProgress })
      expect(refusals.map(({ table }) => table)).toEqual(['blobContent', 'blobs'])
    }
    expect((await target.blobs.list()).items.map(({ id }) => id)).toEqual([stays.id])
    expect(await target.blobs.verify()).toMatchObject({ ok: true })
  },
)

/** Runs statements on a database that a storage has open. */
async function run(database: StorageConfig['database'], statements: readonly string[]): Promise<void> {
  if (database?.type === 'sqlite') {
    const file = new Database(database.path)
    for (const statement of statements) file.exec(statement)
    file.close()
  } else if (database?.type === 'postgres') {
    const sql = postgres(String(database.url), { max: 1 })
    for (const statement of statements) await sql.unsafe(statement)
    await sql.end()
  }
}

it('copyStorage() rejects the same storage, unknown options and what is no storage', async () => {
  const storage = await openKind('in-memory')
  const invalid = (path: string) => ({ code: 'INVALID_INPUT', message: expect.stringContaining(path) })
  await expect(copyStorage(storage, storage)).rejects.toMatchObject(invalid('to: must be another'))
  await expect(copyStorage(storage, {} as Storage)).rejects.toMatchObject(invalid('to: must be what openStorage'))
  const other = await openKind('in-memory')
  await expect(copyStorage(storage, other, { verfy: 1 } as object)).rejects.toMatchObject(invalid('options.verfy'))
  await other.close()
  await expect(copyStorage(storage, other)).rejects.toMatchObject({ code: 'CLOSED' })
})

it.each(['sqlite', 'postgres'] as const)(
  'a copy that ends takes no bytes of another one into the same %s storage, which has found newer blobs',
  async (kind) => {
    const delays: Record<string, number> = { 5000: 500, 7000: 2000 }
    await using bucket = await serve({
      fault: ({ headers }) => ({ delayMillis: delays[String(headers['content-length'])] ?? 0 }),
    })
    const source = await openKind('in-memory')
    const { database } = await kinds[kind]()
    await using target = await openStorage({ database, blobStore: bucket.config }, quiet)
    await source.blobs.put(randomBytes(5000))
    const first = copyStorage(source, target)
    await vi.waitFor(async () => expect((await target.blobs.stats()).contents).toBe(1), 5000)
    const newer = await source.blobs.put(randomBytes(3000))
    await source.blobs.put(randomBytes(7000))
    const second = copyStorage(source, target)
    expect(await first).toMatchObject({ refused: 0 })
    expect(await second).toMatchObject({ refused: 0 })
    expect(await target.blobs.bytes(newer.id)).toEqual(await source.blobs.bytes(newer.id))
  },
)
