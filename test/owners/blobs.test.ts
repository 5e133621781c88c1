import { randomBytes } from 'node:crypto'
import { text } from 'node:stream/consumers'
import type { StorageConfig } from 'holdfast'
import { expect, it } from 'vitest'
import type { Blobs } from '../../src/blobs/blobs.ts'
import type { TransactionBlobs } from '../../src/blobs/open.ts'
import { OwnedDb } from '../../src/database/owned-db.ts'
import { allPages } from '../../src/testing/contract.ts'
import { openLayer } from '../blobs/layer.ts'
import { eachStore, MAIN_RECORDS, SEPARATE_RECORDS } from '../blobs/stores.ts'

type Layer = Awaited<ReturnType<typeof openLayer>>

const ids = (records: readonly { id: string }[]) => records.map(({ id }) => id).sort()
const refused = (call: Promise<unknown>, code: string) => expect(call).rejects.toMatchObject({ code })

/** Runs `body` in a transaction, as the storage does. */
const transaction = (layer: Layer, body: (inside: TransactionBlobs) => Promise<void>) =>
  layer.transaction((enter) => layer.database.transaction((tx) => enter(tx, body)))

/** Checks that a blob is absent for every call of a scope. */
async function isAbsent(scope: Blobs, reference: string): Promise<void> {
  expect(await scope.get(reference)).toBeUndefined()
  expect(await scope.exists(reference)).toBe(false)
  expect(await scope.delete(reference)).toBe(false)
  expect(await scope.delete(reference, { force: true })).toBe(false)
  for (const read of ['bytes', 'text', 'base64', 'dataUri', 'stream', 'path', 'fileUrl', 'url'] as const) {
    await refused(scope[read](reference), 'BLOB_NOT_FOUND')
  }
}

eachStore({ ...MAIN_RECORDS, ...SEPARATE_RECORDS }, (_, configure) => {
  /** Opens the layer, with the blobs of two owners. Owners have new names, because tests share a database. */
  async function open(hooks: Parameters<typeof openLayer>[1] = {}, limits: object = {}) {
    const config = await configure()
    const blobStore = { type: 'in-memory' as const, ...config.blobStore, ...limits }
    const layer = await openLayer({ ...config, blobStore } as StorageConfig, hooks) // TypeScript cannot relate the spread limits to the type of the store
    const [ada, bob] = [`ada-${randomBytes(4).toString('hex')}`, `bob-${randomBytes(4).toString('hex')}`]
    return { ...layer, layer, ada, bob, adas: layer.scoped(ada), bobs: layer.scoped(bob) }
  }

  it('a scope reads its own blobs, and no call of it shows or removes those of others', async () => {
    const { blobs, ada, bob, adas, bobs, close } = await open()
    const data = randomBytes(100)
    const own = await adas.put(data, { name: 'a.bin' })
    const others = [await bobs.put(data), await blobs.put(data)]
    expect(own).toMatchObject({ ownerId: ada, name: 'a.bin', size: 100 })
    expect(others.map(({ ownerId }) => ownerId)).toEqual([bob, ''])
    for (const { id, uri } of others) for (const reference of [id, uri]) await isAbsent(adas, reference)
    for (const scope of [adas, blobs]) {
      expect(await scope.get(own.uri)).toEqual(own)
      expect(await scope.exists(own.id)).toBe(true)
      expect(await scope.bytes(own.id)).toEqual(data)
    }
    expect(await text(await bobs.stream(String(others[0]?.id)))).toBe(data.toString())
    expect(await blobs.bytes(String(others[0]?.id))).toEqual(data)
    expect(await adas.delete(own.id)).toBe(true)
    await isAbsent(adas, own.id)
    for (const { id } of others) expect(await blobs.bytes(id)).toEqual(data)
    await close()
  })

  it('list() and stats() of a scope count its own blobs, those of the root all', async () => {
    const { blobs, ada, bob, adas, bobs, close } = await open()
    const before = await blobs.stats()
    const [shared, other] = [randomBytes(1000), randomBytes(10)]
    const own = [
      await adas.put(shared, { source: 's' }),
      await adas.put(shared),
      await adas.put(other, { source: 's' }),
    ]
    const theirs = [await bobs.put(shared, { source: 's' })]
    const nobodys = [await blobs.put(other, { source: 's' })]
    const [maxTotalSize, none] = [before.maxTotalSize, { items: [] }]
    expect(await adas.stats()).toEqual({ count: 3, contents: 2, bytes: 1010, maxTotalSize })
    expect(await bobs.stats()).toEqual({ count: 1, contents: 1, bytes: 1000, maxTotalSize })
    const total = await blobs.stats()
    expect(total).toEqual({
      ...before,
      count: before.count + 5,
      contents: before.contents + 2,
      bytes: before.bytes + 1010,
    })

    const all = (scope: Blobs, options: { source?: string; ownerId?: string } = {}) =>
      allPages((page) => scope.list({ ...page, ...options }), 2).then(ids)
    expect(await all(adas)).toEqual(ids(own))
    expect(await all(adas, { source: 's' })).toEqual(ids(own.filter(({ source }) => source === 's')))
    expect(await all(adas, { ownerId: ada })).toEqual(ids(own))
    expect(await adas.list({ ownerId: bob })).toEqual(none)
    expect(await adas.list({ ownerId: bob, source: 's' })).toEqual(none)
    expect(await all(blobs, { ownerId: ada })).toEqual(ids(own))
    expect(await all(blobs, { ownerId: bob, source: 's' })).toEqual(ids(theirs))
    const everybodys = await all(blobs)
    for (const { id } of [...own, ...theirs, ...nobodys]) expect(everybodys).toContain(id)
    await refused(blobs.list({ ownerId: '' }), 'INVALID_INPUT')
    for (const scope of [adas, bobs]) {
      for (const { id } of (await scope.list()).items) expect(await scope.delete(id)).toBe(true)
      expect(await scope.stats()).toEqual({ count: 0, contents: 0, bytes: 0, maxTotalSize })
    }
    expect(await blobs.delete(String(nobodys[0]?.id))).toBe(true)
    expect(await blobs.stats()).toEqual(before)
    await close()
  })

  it('the blobs of a scope in a transaction are those of its owner, in a savepoint as well', async () => {
    const { blobs, layer, ada, adas, bobs, close } = await open()
    const before = await blobs.stats()
    const theirs = await bobs.put(randomBytes(10))
    const kept: string[] = []
    await transaction(layer, async (inside) => {
      const scope = inside.scoped(ada)
      const record = await scope.put(randomBytes(10))
      expect([record.ownerId, (await inside.blobs.get(record.id))?.ownerId]).toEqual([ada, ada])
      await isAbsent(scope, theirs.id)
      expect(await scope.stats()).toMatchObject({ count: 1, bytes: 10 })
      expect(await scope.delete(record.id)).toBe(true)
      kept.push((await scope.put(randomBytes(20))).id)
      await refused(scope.cleanup(), 'INVALID_STATE')
    })
    expect((await adas.list()).items.map(({ id }) => id)).toEqual(kept)
    const failure = new Error('rolled back')
    const failing = transaction(layer, async (inside) => {
      await inside.scoped(ada).put(randomBytes(30))
      throw failure
    })
    await expect(failing).rejects.toBe(failure)
    expect(await adas.stats()).toMatchObject({ count: 1, bytes: 20 })
    expect(await blobs.stats()).toMatchObject({ count: before.count + 2, bytes: before.bytes + 30 })
    await close()
  })

  it('a transaction takes no handle with an owner', async () => {
    const { layer, ada, close } = await open()
    const wrong = layer.transaction((enter) =>
      layer.database.transaction((tx) => enter(new OwnedDb(tx, ada), async () => {})),
    )
    await expect(wrong).rejects.toThrow(TypeError)
    await close()
  })

  it('cleanup() and verify() of a scope refuse, since they concern the whole store', async () => {
    const { adas, close } = await open()
    const message = expect.stringContaining('call it on the storage itself')
    await expect(adas.cleanup()).rejects.toMatchObject({ code: 'INVALID_STATE', message })
    await expect(adas.verify()).rejects.toMatchObject({ code: 'INVALID_STATE', message })
    await close()
  })

  it('a full store refuses bytes that others have as it refuses new bytes', async () => {
    const first = await open()
    const { bytes: used } = await first.blobs.stats()
    await first.close()
    const maxTotalSize = (first.layer.bytes.type === 'in-memory' ? 0 : used) + 1500
    const { blobs, adas, bobs, close } = await open({}, { maxTotalSize, maxBlobSize: 1500 })
    const [large, small] = [randomBytes(1000), randomBytes(400)]
    await bobs.put(large)
    const refusals = await Promise.all([large, randomBytes(1000)].map((data) => adas.put(data).catch((error) => error)))
    for (const error of refusals) expect(error).toMatchObject({ code: 'BLOB_QUOTA_EXCEEDED', details: { size: 1000 } })
    expect(refusals[0].message).toBe(refusals[1].message)
    const own = await adas.put(small)
    expect((await adas.put(small)).hash, 'the own bytes take no further room').toBe(own.hash)
    await refused(bobs.put(small), 'BLOB_QUOTA_EXCEEDED')
    expect((await blobs.put(small)).hash, 'the root sees all bytes').toBe(own.hash)
    expect((await blobs.verify()).ok).toBe(true)
    await close()
  })

  it('cleanup() keeps a blob that the text of anybody names, and its owner', async () => {
    let name: () => Promise<void> = async () => {}
    const { blobs, database, ada, bob, adas, close } = await open({
      onStep: async (step) => {
        if (step === 'cleanup.search') await name()
      },
    })
    const write = async (ownerId: string, key: string, value: string) => {
      const at = new Date()
      const row = { ownerId, key, value, version: 1, createdAt: at, updatedAt: at }
      await database.orm.insert(database.tables.kv).values(row).onConflictDoNothing()
    }
    const [named, namedLate, unnamed] = [...(await Promise.all([1, 2, 3].map(() => adas.put(randomBytes(10)))))].map(
      ({ id }) => id,
    )
    await write(bob, `${bob} names`, `an id: ${named}`)
    name = () => write(bob, `${bob} names late`, `an id: ${namedLate}`)
    await blobs.cleanup({ olderThan: new Date(Date.now() + 60_000) }) // the time of PostgreSQL may differ
    for (const id of [named, namedLate]) expect(await adas.get(String(id))).toMatchObject({ ownerId: ada })
    expect(await adas.exists(String(unnamed))).toBe(false)
    expect((await blobs.verify()).ok).toBe(true)
    await database.orm.delete(database.tables.kv)
    await close()
  })
})
