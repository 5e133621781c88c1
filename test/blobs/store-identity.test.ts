import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStorage, type StorageOptions } from 'holdfast'
import { describe, expect, it } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { writable } from './fixture.ts'

const text = (content: string) => Buffer.from(content)

function place(directory = freshDirectory()) {
  const storePath = join(directory, 'blobs')
  const open = (name = 'a.db', path = storePath, options: StorageOptions = {}) =>
    openStorage(
      { database: { type: 'sqlite', path: join(directory, name) }, blobStore: { type: 'local', storePath: path } },
      { ...quiet, ...options },
    )
  const openInMemory = (options: StorageOptions = {}) =>
    openStorage({ blobStore: { type: 'local', storePath } }, { ...quiet, ...options })
  return { directory, storePath, open, openInMemory }
}

const mismatch = (what: RegExp) => ({ code: 'BLOB_STORE_MISMATCH', message: expect.stringMatching(what) })

it('openStorage() refuses the store of another database, whose blobs a clean-up would destroy', async () => {
  const { open } = place()
  const one = await open()
  const { uri } = await one.blobs.put(text('of a.db'))
  await expect(open('b.db')).rejects.toMatchObject(mismatch(/belongs to another database/))
  expect(await one.blobs.text(uri)).toBe('of a.db')
  await one.close()
  await using again = await open()
  expect(await again.blobs.text(uri)).toBe('of a.db')
})

it('openStorage() refuses another store, where verify() would find every blob missing', async () => {
  const { directory, storePath, open } = place()
  const one = await open()
  const { uri } = await one.blobs.put(text('kept'))
  await one.close()
  const elsewhere = join(directory, 'elsewhere')
  await expect(open('a.db', elsewhere)).rejects.toMatchObject(mismatch(/may not be mounted/))
  // A volume that is not mounted: its directory is there, and empty.
  renameSync(storePath, join(directory, 'unmounted'))
  mkdirSync(storePath)
  await expect(open()).rejects.toMatchObject(mismatch(/may not be mounted/))
  rmSync(storePath, { recursive: true })
  renameSync(join(directory, 'unmounted'), storePath)
  await using again = await open()
  expect(await again.blobs.text(uri)).toBe('kept')
})

it('openStorage() refuses two stores that each belong to another database', async () => {
  const [one, two] = [place(), place()]
  for (const { open } of [one, two]) {
    await using storage = await open()
    await storage.blobs.put(text('x'))
  }
  await expect(one.open('a.db', two.storePath)).rejects.toMatchObject(mismatch(/is the store of another database/))
})

it('openStorage() with adoptBlobStore takes a restored store', async () => {
  const { directory, storePath, open } = place()
  const one = await open()
  const { uri } = await one.blobs.put(text('backed up'))
  await one.close()
  const copy = join(directory, 'copy')
  cpSync(storePath, copy, { recursive: true })
  rmSync(join(copy, 'store-id'))
  await expect(open('a.db', copy)).rejects.toMatchObject(mismatch(/may not be mounted/))
  {
    await using adopted = await open('a.db', copy, { adoptBlobStore: true })
    expect(await adopted.blobs.text(uri)).toBe('backed up')
  }
  await using again = await open('a.db', copy)
  expect(await again.blobs.text(uri)).toBe('backed up')
})

it('openStorage() marries a store and a database of an earlier version, however many processes do so at once', async () => {
  const { storePath, open } = place()
  const one = await open()
  const { uri } = await one.blobs.put(text('earlier'))
  await one.transaction((tx) => tx.kv.set('unused', 1))
  await one.close()
  rmSync(join(storePath, 'store-id'))
  await forgetStore(join(storePath, '../a.db'))
  const storages = await Promise.all([open(), open(), open()])
  for (const storage of storages) expect(await storage.blobs.text(uri)).toBe('earlier')
  await Promise.all(storages.map((storage) => storage.close()))
  await (await open()).close()
})

it('openStorage() refuses a second new database on a store that holds nothing yet', async () => {
  const { open } = place()
  await using one = await open()
  await expect(open('b.db')).rejects.toMatchObject(mismatch(/belongs to another database.*has no store yet/))
  await using again = await open()
  const { uri } = await again.blobs.put(text('x'))
  expect(await one.blobs.text(uri)).toBe('x')
})

it('openStorage() gives a new store to one of several new databases that open it at once', async () => {
  const { open } = place()
  const outcomes = await Promise.allSettled(['a', 'b', 'c', 'd', 'a', 'b'].map((name) => open(`${name}.db`)))
  const opened = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  const files = new Set(opened.map(({ config }) => config.database.type === 'sqlite' && config.database.file))
  expect(files.size).toBe(1)
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject(mismatch(/another database/))
  }
  await Promise.all(opened.map((storage) => storage.close()))
})

it('openStorage() refuses the store of an in-memory database, whose records are in the store', async () => {
  const { open, openInMemory } = place()
  const one = await openInMemory()
  const { uri } = await one.blobs.put(text('recorded'))
  await expect(open()).rejects.toMatchObject(mismatch(/holds their records \(records\.db\)/))
  await one.close()
  await using again = await openInMemory()
  expect(await again.blobs.text(uri)).toBe('recorded')
})

it('openStorage() refuses the store of another database if the database is in memory, and creates no records there', async () => {
  const { storePath, open, openInMemory } = place()
  await using one = await open()
  const { uri } = await one.blobs.put(text('kept'))
  await expect(openInMemory()).rejects.toMatchObject(mismatch(/belongs to a database elsewhere/))
  expect(existsSync(join(storePath, 'records.db'))).toBe(false)
  expect(await one.blobs.text(uri)).toBe('kept')
})

it('openStorage() refuses bytes that the database has no record of', async () => {
  const { storePath, open } = place()
  const one = await open()
  await one.blobs.put(text('of an earlier database'))
  await one.close()
  rmSync(join(storePath, 'store-id'))
  await expect(open('b.db')).rejects.toMatchObject(mismatch(/no record of any/))
})

it('openStorage() refuses a second store of a database that has no blobs yet', async () => {
  const { directory, open } = place()
  const elsewhere = join(directory, 'elsewhere')
  await using _ = await open()
  await expect(open('a.db', elsewhere)).rejects.toMatchObject(mismatch(/is a new one.*has a store already/))
})

it('openStorage() gives a new database one of two stores that it opens at once', async () => {
  const { directory, open } = place()
  const outcomes = await Promise.allSettled(['one', 'two'].map((name) => open('a.db', join(directory, name))))
  const opened = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  expect(opened).toHaveLength(1)
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject(mismatch(/has a store already/))
  }
  await opened[0]?.close()
})

it('openStorage() refuses the former owner of a store that another database has adopted', async () => {
  const { open } = place()
  await (await open()).close()
  await (await open('b.db', undefined, { adoptBlobStore: true })).close()
  await expect(open()).rejects.toMatchObject(mismatch(/was taken over by another database/))
  await (await open('b.db')).close()
  await (await open('a.db', undefined, { adoptBlobStore: true })).close()
  await expect(open('b.db')).rejects.toMatchObject(mismatch(/was taken over by another database/))
  await (await open()).close()
})

it('openStorage() refuses the earlier store of a database that has adopted another one', async () => {
  const { directory, open } = place()
  await (await open()).close()
  await (await open('a.db', join(directory, 'next'), { adoptBlobStore: true })).close()
  await expect(open()).rejects.toMatchObject(mismatch(/is an earlier store of this database/))
  await (await open('a.db', join(directory, 'next'))).close()
})

it('openStorage() with adoptBlobStore settles on one pair, however many processes adopt at once', async () => {
  const { open } = place()
  await (await open()).close()
  const adopting = [1, 2, 3].map(() => open('b.db', undefined, { adoptBlobStore: true }))
  for (const storage of await Promise.all(adopting)) await storage.close()
  await (await open('b.db')).close()
})

it('openStorage() opens a store whose mark names no database, as earlier versions wrote it, and adds the database', async () => {
  const { storePath, open } = place()
  const one = await open()
  const { uri } = await one.blobs.put(text('earlier'))
  await one.close()
  const file = join(storePath, 'store-id')
  const [store, database] = readFileSync(file, 'utf8').split('\n')
  writeFileSync(file, `${store}\n`)
  await expect(open('b.db')).rejects.toMatchObject(mismatch(/belongs to another database/))
  await using again = await open()
  expect(await again.blobs.text(uri)).toBe('earlier')
  expect(readFileSync(file, 'utf8')).toBe(`${store}\n${database}\n2\n`)
})

it('openStorage() opens a store with records of an in-memory database that has no mark', async () => {
  const { storePath, open, openInMemory } = place()
  const one = await openInMemory()
  const { uri } = await one.blobs.put(text('earlier'))
  await one.close()
  rmSync(join(storePath, 'store-id'))
  await forgetStore(join(storePath, 'records.db'))
  await expect(open()).rejects.toMatchObject(mismatch(/records\.db/))
  await using again = await openInMemory()
  expect(await again.blobs.text(uri)).toBe('earlier')
})

it('openStorage() finishes a first meeting that a crash has cut off', async () => {
  const { storePath, open } = place()
  await (await open()).close()
  await forgetStore(join(storePath, '../a.db'))
  await (await open()).close()
  await expect(open('b.db')).rejects.toMatchObject(mismatch(/belongs to another database/))
})

describe.each<[string, (path: string) => void]>([
  ['missing', (path) => rmSync(path)],
  ['damaged', (path) => writeFileSync(writable(path), 'changed')],
])('verify() with repair, when all bytes are %s,', (what, damage) => {
  it('refuses to remove more than a tenth of the records, unless it is forced', async () => {
    const { storePath, open } = place()
    await using storage = await open()
    const count = 40
    for (let i = 0; i < count; i++) await storage.blobs.put(text(`blob ${i}`))
    const objects = join(storePath, 'objects')
    for (const shard of readdirSync(objects)) {
      for (const name of readdirSync(join(objects, shard))) damage(join(objects, shard, name))
    }
    const before = readdirSync(objects, { recursive: true })
    await expect(storage.blobs.verify({ repair: true })).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: expect.stringMatching(new RegExp(`Of ${count} contents.* ${count} are ${what}`)),
    })
    expect((await storage.blobs.stats()).count).toBe(count)
    expect(readdirSync(objects, { recursive: true })).toEqual(before)
    expect(readdirSync(join(storePath, 'quarantine'))).toEqual([])
    await storage.blobs.verify({ repair: true, force: true })
    expect((await storage.blobs.stats()).count).toBe(0)
  })
})

/** Makes a database forget its store, as if it had never been told. */
async function forgetStore(path: string): Promise<void> {
  const { default: Database } = await import('better-sqlite3')
  const db = new Database(path)
  db.prepare("delete from properties where name = 'blob-store'").run()
  db.close()
}
