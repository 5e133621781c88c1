import { randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { StorageError } from 'holdfast'
import { expect, it } from 'vitest'
import { signal } from '../../src/testing/contract.ts'
import { eachStore, MAIN_RECORDS, SEPARATE_RECORDS, SHARED } from './stores.ts'

const only = (stores: typeof SEPARATE_RECORDS, pattern: RegExp) =>
  Object.fromEntries(Object.entries(stores).filter(([name]) => pattern.test(name)))

eachStore(only(SEPARATE_RECORDS, /^in-memory/), (open) => {
  it('a new storage finds no blob in memory of an earlier one, whatever its database keeps', async () => {
    const first = await open()
    const { id } = await first.blobs.put(randomBytes(100))
    await first.messages.append('kept', { id: 'm', role: 'user', content: 'kept' })
    expect((await first.stats()).blobs.count).toBe(1)
    await using second = await open()
    expect(await second.blobs.get(id)).toBeUndefined()
    expect(await second.blobs.list()).toEqual({ items: [] })
    expect(await second.blobs.stats()).toMatchObject({ count: 0, bytes: 0 })
    expect(await second.messages.get('kept', 'm')).toBeDefined()
    await first.close()
  })

  it('transaction() commits blobs and rows together, or neither', async () => {
    await using storage = await open()
    const body = async (tx: Parameters<Parameters<typeof storage.transaction>[0]>[0]) => {
      const { id } = await tx.blobs.put(randomBytes(100))
      await tx.kv.set('blob', id)
      return id
    }
    const undone = storage.transaction(async (tx) => {
      throw new Error(await body(tx))
    })
    const id = await undone.catch((error: Error) => error.message)
    expect(await storage.blobs.exists(String(id))).toBe(false)
    expect(await storage.kv.get('blob')).toBeUndefined()
    expect(await storage.blobs.exists(await storage.transaction(body))).toBe(true)
    await storage.kv.delete('blob')
  })

  it('a transaction without blobs does not wait for a transaction with blobs', async () => {
    await using storage = await open()
    if (storage.config.database.type !== 'postgres') return // SQLite has one writer
    await storage.transaction(async (tx) => {
      await tx.blobs.put(randomBytes(100))
      await new Promise<void>((resolve, reject) => {
        setImmediate(() => storage.health().then(() => resolve(), reject))
      })
    })
  })
})

eachStore(only(SEPARATE_RECORDS, /^local/), (open) => {
  it('a new storage with an in-memory database finds the records of the files', async () => {
    const data = randomBytes(100)
    const first = await open()
    const { id } = await first.blobs.put(data, { name: 'kept' })
    await first.close()
    await using second = await open()
    expect((await second.blobs.bytes(id)).equals(data)).toBe(true)
    expect(await second.blobs.get(id)).toMatchObject({ name: 'kept' })
    const { blobStore } = second.config
    if (blobStore.type !== 'local') throw new Error('unreachable')
    expect(statSync(join(blobStore.storePath, 'records.db')).mode & 0o777).toBe(0o600)
  })
})

eachStore(SHARED, (open) => {
  it('put() is visible to another storage on the same store', async () => {
    const data = randomBytes(100)
    await using first = await open()
    await using second = await open()
    const { id } = await first.blobs.put(data)
    expect((await second.blobs.bytes(id)).equals(data)).toBe(true)
  })
})

eachStore({ ...MAIN_RECORDS, ...SEPARATE_RECORDS }, (open) => {
  it('put() accepts blobs up to maxBlobSize, and up to maxTotalSize together', async () => {
    await using storage = await open({ blobStore: { maxBlobSize: 1000, maxTotalSize: 2500 } })
    const { blobs } = storage
    const { bytes: others } = await blobs.stats()
    if (others > 0) await blobs.cleanup({ olderThan: new Date(Date.now() + 60_000) })
    const one = await blobs.put(Buffer.alloc(1000, 'a'))
    await expect(blobs.put(Buffer.alloc(1001))).rejects.toMatchObject({ code: 'BLOB_TOO_LARGE' })
    async function* endless() {
      for (;;) yield Buffer.alloc(100)
    }
    await expect(blobs.put(endless())).rejects.toMatchObject({ code: 'BLOB_TOO_LARGE' })
    const two = await blobs.put(Buffer.alloc(1000, 'b'))
    const full = await blobs.put(Buffer.alloc(501, 'c')).catch((error) => error)
    expect(full).toBeInstanceOf(StorageError)
    expect(full).toMatchObject({ code: 'BLOB_QUOTA_EXCEEDED', details: { size: 501, maxTotalSize: 2500 } })
    const inside = storage.transaction((tx) => tx.blobs.put(Buffer.alloc(501, 'c')))
    await expect(inside).rejects.toMatchObject({ code: 'BLOB_QUOTA_EXCEEDED' })
    const shared = await blobs.put(Buffer.alloc(1000, 'a')) // takes no space: the content exists
    const three = await blobs.put(Buffer.alloc(500, 'c'))
    await expect(blobs.put(Buffer.from('x'))).rejects.toMatchObject({ code: 'BLOB_QUOTA_EXCEEDED' })
    expect(await blobs.stats()).toMatchObject({ count: 4, contents: 3, bytes: 2500 })
    await blobs.delete(two.id)
    const four = await blobs.put(Buffer.alloc(1000, 'd'))
    for (const { id } of [one, shared, three, four]) await blobs.delete(id)
    expect(await blobs.stats()).toMatchObject({ count: 0, contents: 0, bytes: 0 })
    expect(await blobs.verify()).toMatchObject({ ok: true })
  })

  it('close() waits for a running put', async () => {
    const storage = await open()
    const { reached: held, reach: go } = signal()
    async function* slow() {
      yield Buffer.from('begun, ')
      await held
      yield Buffer.from('and ended')
    }
    const put = storage.blobs.put(slow())
    await new Promise(setImmediate)
    const closed = storage.close()
    await new Promise(setImmediate)
    await expect(storage.blobs.put(Buffer.from('x'))).rejects.toMatchObject({ code: 'CLOSED' })
    go()
    expect((await put).size).toBe(16)
    await closed
    await expect(storage.blobs.list()).rejects.toMatchObject({ code: 'CLOSED' })
  })
})
