import { randomBytes } from 'node:crypto'
import { readdirSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eq } from 'drizzle-orm'
import type { BlobVerification, Storage } from 'holdfast'
import { describe, expect, it } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'
import { firstOf, sha256, writable } from './fixture.ts'
import { openLayer } from './layer.ts'
import { eachStore, SHARED } from './stores.ts'

const found = ({ steps }: BlobVerification) =>
  Object.fromEntries(steps.filter((step) => step.found > 0).map((step) => [step.step, step.items]))

const damages: Record<string, (path: string) => void> = {
  truncated: (path) => truncateSync(writable(path), 10),
  changed: (path) => writeFileSync(writable(path), randomBytes(1000)),
  removed: (path) => rmSync(path),
  'replaced by a link': (path) => {
    const secret = join(freshDirectory(), 'secret')
    writeFileSync(secret, 'secret')
    rmSync(path)
    symlinkSync(secret, path)
  },
  'replaced by a link to bytes of the same length': (path) => {
    const other = join(freshDirectory(), 'other')
    writeFileSync(other, randomBytes(1000))
    rmSync(path)
    symlinkSync(other, path)
  },
}

eachStore(SHARED, (open, configure) => {
  describe.each(Object.entries(damages))('bytes that were %s', (_, damage) => {
    const damaged = async (storage: Storage) => {
      const data = randomBytes(1000)
      const record = await storage.blobs.put(data)
      damage(String(await storage.blobs.path(record.id)))
      return { data, record }
    }

    it('are never returned, and putting the content again heals every record', async () => {
      await using storage = await open()
      const { data, record } = await damaged(storage)
      const twin = await storage.blobs.put(data) // heals
      damage(String(await storage.blobs.path(twin.id)))
      const reads = [
        () => storage.blobs.bytes(record.id),
        () => storage.blobs.text(record.id),
        async () => {
          for await (const chunk of await storage.blobs.stream(twin.id)) if (chunk.length === 0) break
        },
      ]
      for (const read of reads) {
        const error = await read().catch((thrown) => thrown)
        expect(['BLOB_CORRUPTED', 'BLOB_NOT_FOUND']).toContain(error.code)
      }
      await storage.blobs.put(data)
      for (const { id } of [record, twin]) expect((await storage.blobs.bytes(id)).equals(data)).toBe(true)
      expect(await storage.blobs.verify()).toMatchObject({ ok: true })
    })

    it('are found by verify(), which changes nothing without repair', async () => {
      await using storage = await open()
      const before = await storage.blobs.stats()
      const { record } = await damaged(storage)
      await storage.messages.append('damaged', { id: 'm', role: 'user', content: record.uri })
      for (let time = 0; time < 2; time++) {
        const report = await storage.blobs.verify()
        expect(report.ok).toBe(false)
        expect(Object.values(found(report)).flat()).toEqual([record.hash])
        expect(await storage.blobs.exists(record.id)).toBe(true)
      }
      const repaired = await storage.blobs.verify({ repair: true })
      expect(found(repaired).missing).toEqual([record.hash])
      expect(await storage.blobs.verify()).toMatchObject({ ok: true })
      expect(await storage.blobs.stats()).toEqual(before)
      expect(await storage.blobs.get(record.id)).toBeUndefined()
      await storage.sessions.delete('damaged')
    })
  })

  it('a blob that is healed while its damaged bytes are taken away can be read, and keeps its record', async () => {
    const config = await configure()
    const other = await openLayer(config)
    const data = randomBytes(1000)
    const record = await other.blobs.put(data)
    writeFileSync(writable(String(await other.blobs.path(record.id))), randomBytes(1000))
    const layer = await openLayer(config, {
      async onFileStep(step) {
        if (step === 'quarantine.rename') await other.blobs.put(data)
      },
    })
    const error = await layer.blobs.bytes(record.id).catch((thrown) => thrown)
    expect(error).toMatchObject({ code: 'BLOB_CORRUPTED' })
    expect((await other.blobs.bytes(record.id)).equals(data)).toBe(true)
    expect(found(await other.blobs.verify({ repair: true })).missing).toBeUndefined()
    expect((await other.blobs.bytes(record.id)).equals(data)).toBe(true)
    expect(await other.blobs.verify()).toMatchObject({ ok: true })
    await Promise.all([layer.close(), other.close()])
  })

  it('each step of verify() finds and removes its own kind of leftover', async () => {
    const config = await configure()
    let now = Date.now()
    const { blobs, bytes, database, close } = await openLayer(config, { now: () => new Date(now) })
    const before = await blobs.stats()
    const kept = await blobs.put(randomBytes(1000))
    const stray = sha256(Buffer.from('stray'))
    writeFileSync(String(bytes.path(firstOf(stray))), 'stray')
    const tmp = join(String(bytes.path(firstOf(stray))), '../../../tmp')
    writeFileSync(join(tmp, 'old'), '')
    utimesSync(join(tmp, 'old'), 0, 0)
    writeFileSync(join(tmp, 'young'), '')
    const { blobContent: c, blobUsage: u } = database.tables
    const reserved = sha256(Buffer.from('reserved'))
    await database.orm.insert(c).values({ hash: reserved, size: 7, state: 'pending' })
    await database.orm.update(u).set({ used: 12_345 }).where(eq(u.id, 1))

    const expected = { staged: ['tmp'], strays: [stray], unreferenced: [reserved], usage: ['bytes', 'contents'] }
    expect(found(await blobs.verify())).toEqual(expected)
    expect(found(await blobs.verify({ repair: true }))).toMatchObject({ staged: ['tmp'], strays: [stray] })
    expect(await blobs.verify()).toMatchObject({ ok: true })
    expect(readdirSync(tmp)).toEqual(['young'])
    expect(await blobs.stats()).toEqual({
      ...before,
      count: before.count + 1,
      contents: before.contents + 1,
      bytes: before.bytes + 1000,
    })
    now += 2 * 86_400_000
    expect(found(await blobs.verify({ repair: true }))).toEqual({ staged: ['tmp'] })
    await blobs.delete(kept.id)
    await close()
  })

  it('verify() does not take a running put for a leftover', async () => {
    await using storage = await open()
    await using other = await open()
    let done = false
    const putting = async () => {
      const ids: string[] = []
      while (!done) {
        ids.push((await other.blobs.put(randomBytes(2000))).id)
        await other.transaction(async (tx) => ids.push((await tx.blobs.put(randomBytes(2000))).id))
      }
      return ids
    }
    const ids = putting()
    for (let round = 0; round < 5; round++) {
      expect(found(await storage.blobs.verify({ repair: round % 2 === 0 }))).toEqual({})
    }
    done = true
    for (const id of await ids) expect((await storage.blobs.bytes(id)).length).toBe(2000)
  })
})
