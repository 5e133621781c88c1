import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { BlobRecord, Storage } from 'holdfast'
import { expect, it } from 'vitest'
import type { BlobLayer } from '../../src/blobs/open.ts'
import { signal } from '../../src/testing/contract.ts'
import { runScript } from '../setup/processes.ts'
import { firstOf, list, sha256 } from './fixture.ts'
import { openLayer } from './layer.ts'
import { eachStore, SHARED } from './stores.ts'

const DAY = 86_400_000
const later = () => new Date(Date.now() + 2 * DAY)

eachStore(SHARED, (open, configure) => {
  it('maintenance removes the bytes of a process that was killed inside a transaction, a day later', async () => {
    await using storage = await open()
    const kept = await storage.blobs.put(randomBytes(1000))
    const before = await storage.blobs.stats()
    const script = runScript('test/blobs/programs/abandon.ts', [JSON.stringify(await configure())])
    await script.next()
    await script.kill()
    expect(objectsOf(storage)).toHaveLength(4)
    expect(await removedStrays(storage)).toBe(0) // they are too young
    expect(objectsOf(storage)).toHaveLength(4)
    const messages: string[] = []
    const logger = { info: (message: string) => void messages.push(message), warn() {}, error() {} }
    await using tomorrow = await open({ now: later, logger })
    expect(await removedStrays(tomorrow)).toBe(3)
    expect(messages).toEqual(['The maintenance step stray-bytes removed 3'])
    expect(objectsOf(storage)).toEqual([expect.stringContaining(kept.hash)])
    expect(await storage.blobs.stats()).toEqual(before)
    expect(await storage.blobs.verify()).toMatchObject({ ok: true })
    await storage.blobs.delete(kept.id)
  })

  it('maintenance keeps bytes that are put again between its look at the rows and the removal', async () => {
    const data = randomBytes(1000)
    const putter = await openLayer(await configure())
    const record: { put?: BlobRecord } = {}
    const sweeper = await openLayer(await configure(), {
      now: later,
      async onStep(step) {
        if (step === 'collect.lock') record.put ??= await putter.blobs.put(data)
      },
    })
    makeStray(putter, data)
    expect(await runStep(sweeper)).toBe(1)
    expect((await putter.blobs.bytes(String(record.put?.id))).equals(data)).toBe(true)
    await putter.blobs.delete(String(record.put?.id))
    await Promise.all([putter.close(), sweeper.close()])
  })

  it('a naive removal by the hash alone loses bytes that are put again meanwhile', async () => {
    const data = randomBytes(1000)
    const { blobs, bytes, close } = await openLayer(await configure())
    makeStray({ bytes }, data)
    const { id } = await blobs.put(data) // after the look at the rows
    for (const object of await list(bytes)) if (object.hash === sha256(data)) await bytes.remove(object)
    await expect(blobs.bytes(id)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    await blobs.delete(id)
    await close()
  })

  it('maintenance keeps old bytes that a transaction has put and not yet committed', async () => {
    const data = randomBytes(1000)
    await using storage = await open()
    await using tomorrow = await open({ now: later })
    const [{ reached: put, reach: hasPut }, { reached: ending, reach: end }] = [signal(), signal()]
    const transaction = storage.transaction(async (tx) => {
      const { id } = await tx.blobs.put(data)
      const path = String(await tx.blobs.path(id))
      utimesSync(path, 0, 0)
      hasPut()
      await ending
      return id
    })
    await put
    const sweeping = removedStrays(tomorrow)
    await new Promise((resolve) => setTimeout(resolve, 100)) // the sweep waits for the lock of the transaction
    end()
    const id = await transaction
    expect(await sweeping).toBe(0)
    expect((await storage.blobs.bytes(id)).equals(data)).toBe(true)
    await storage.blobs.delete(id)
  })

  it('maintenance removes a content whose collector had stopped, also if a stray has the same bytes', async () => {
    const data = randomBytes(1000)
    let isStopped = true
    const layer = await openLayer(await configure(), {
      now: later,
      onStep(step) {
        if (isStopped && step === 'collect.lock') throw new Error('stopped')
      },
    })
    const { id } = await layer.blobs.put(data)
    await layer.blobs.delete(id)
    isStopped = false
    makeStray(layer, data)
    expect(await runStep(layer)).toBe(1)
    for (const { run } of layer.steps) await run()
    expect(await layer.blobs.stats()).toMatchObject({ count: 0, contents: 0, bytes: 0 })
    expect(await layer.blobs.verify()).toMatchObject({ ok: true })
    expect(await list(layer.bytes)).toEqual([])
    await layer.close()
  })

  it('maintenance walks over more objects than one round looks at', async () => {
    const layer = await openLayer(await configure(), { now: later })
    const { orm, tables } = layer.database
    const known = Array.from({ length: 5200 }, (_, i) => Buffer.from(`known ${i}`))
    for (const data of known) makeStray(layer, data)
    for (let i = 0; i < known.length; i += 400) {
      const rows = known
        .slice(i, i + 400)
        .map((data) => ({ hash: sha256(data), size: data.length, state: 'live' as const }))
      await orm.insert(tables.blobContent).values(rows)
    }
    for (let i = 0; i < 90; i++) makeStray(layer, Buffer.from(`stray ${i}`))
    const first = await runStep(layer)
    expect(first).toBeLessThan(90)
    expect(first + (await runStep(layer))).toBe(90)
    makeStray(layer, Buffer.from('next walk'))
    expect(await runStep(layer)).toBe(0) // the next walk begins an hour later
    await orm.delete(tables.blobContent)
    for (const data of [...known, Buffer.from('next walk')]) await layer.bytes.remove(firstOf(sha256(data)))
    await layer.close()
  }, 120_000)

  it('maintenance removes nothing if many objects have no row: the database may be an older backup', async () => {
    const layer = await openLayer(await configure(), { now: later })
    const objects = Array.from({ length: 101 }, (_, i) => Buffer.from(`put after the backup ${i}`))
    for (const data of objects) makeStray(layer, data)
    await expect(runStep(layer)).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: expect.stringMatching(/^Of 101 objects in the blob store, 101 have no record: .* Nothing was removed/),
    })
    expect(await list(layer.bytes)).toHaveLength(101)
    for (const data of objects) await layer.bytes.remove(firstOf(sha256(data)))
    await layer.close()
  })
})

/** Stores bytes without a row, as if long ago. */
function makeStray({ bytes }: Pick<BlobLayer, 'bytes'>, data: Buffer): void {
  const path = String(bytes.path(firstOf(sha256(data))))
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, data)
  utimesSync(path, 0, 0)
}

async function runStep({ steps }: Pick<BlobLayer, 'steps'>): Promise<number> {
  return (await steps.find(({ name }) => name === 'stray-bytes')?.run()) ?? -1
}

async function removedStrays(storage: Storage): Promise<number | undefined> {
  const report = (await storage.maintain()).find(({ step }) => step === 'stray-bytes')
  if (report?.error) throw report.error
  return report?.removed
}

function objectsOf({ config: { blobStore } }: Storage): string[] {
  if (blobStore.type !== 'local') throw new Error('unreachable')
  const entries = readdirSync(join(blobStore.storePath, 'objects'), { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name)
}
