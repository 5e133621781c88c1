import { cpSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { openStorage, type StorageOptions } from 'holdfast'
import { expect, it } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

const text = (content: string) => Buffer.from(content)

function place(directory = freshDirectory()) {
  const storePath = join(directory, 'blobs')
  const open = (name = 'a.db', path = storePath, options: StorageOptions = {}) =>
    openStorage(
      { database: { type: 'sqlite', path: join(directory, name) }, blobStore: { type: 'local', storePath: path } },
      { ...quiet, ...options },
    )
  return { directory, storePath, open }
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
  const { default: Database } = await import('better-sqlite3')
  const db = new Database(join(storePath, '../a.db'))
  db.prepare("delete from properties where name = 'blob-store'").run()
  db.close()
  const storages = await Promise.all([open(), open(), open()])
  for (const storage of storages) expect(await storage.blobs.text(uri)).toBe('earlier')
  await Promise.all(storages.map((storage) => storage.close()))
  await (await open()).close()
})

it('verify() with repair refuses to remove more than a tenth of the records, unless it is forced', async () => {
  const { storePath, open } = place()
  await using storage = await open()
  const count = 40
  for (let i = 0; i < count; i++) await storage.blobs.put(text(`blob ${i}`))
  const objects = join(storePath, 'objects')
  for (const shard of readdirSync(objects)) {
    for (const name of readdirSync(join(objects, shard))) rmSync(join(objects, shard, name))
  }
  await expect(storage.blobs.verify({ repair: true })).rejects.toMatchObject({
    code: 'INVALID_STATE',
    message: expect.stringContaining(`${count} of ${count}`),
  })
  expect((await storage.blobs.stats()).count).toBe(count)
  await storage.blobs.verify({ repair: true, force: true })
  expect((await storage.blobs.stats()).count).toBe(0)
})
