import { randomBytes } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { Storage } from 'holdfast'
import { expect, it } from 'vitest'
import { MemoryBytes } from '../../src/blobs/bytes/memory.ts'
import { times } from '../../src/testing/contract.ts'
import { eachStore, MAIN_RECORDS } from './stores.ts'

const MIB = 1024 * 1024
const CHUNK = 64 * 1024
const PUTS = 54

eachStore(MAIN_RECORDS, (open) => {
  it(`${PUTS} puts of 900 KB at once under a maxTotalSize of 1 MB never stage 54 MB: one is stored, the others are refused`, async () => {
    await using storage = await open({ blobStore: { maxTotalSize: MIB } })
    const { put, peaks } = watchedPuts(storage)
    const outcomes = await Promise.all(times(PUTS, (i) => put(900_000, `${i}`)))
    expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(1)
    expect(new Set(outcomes)).toEqual(new Set(['stored', 'BLOB_QUOTA_EXCEEDED']))
    // The quota, as much again, the put that never waits, and a chunk that each put has read and not yet staged.
    expect(peaks.held).toBeLessThan(3 * MIB + PUTS * CHUNK)
    expect(peaks.staged).toBeLessThan(3 * MIB)
    await storage.blobs.cleanup({ olderThan: new Date(Date.now() + 60_000) })
  }, 60_000)

  it('puts of a stored content at once succeed when the quota is full: they take no room', async () => {
    await using storage = await open({ blobStore: { maxTotalSize: MIB } })
    const data = randomBytes(MIB)
    const stored = await storage.blobs.put(data)
    const copy = () => storage.blobs.put(Readable.from([data.subarray(0, 500_000), data.subarray(500_000)]))
    const copies = await Promise.all(times(20, copy))
    expect(new Set(copies.map(({ hash }) => hash))).toEqual(new Set([stored.hash]))
    await expect(storage.blobs.put(Buffer.from('x'))).rejects.toMatchObject({ code: 'BLOB_QUOTA_EXCEEDED' })
    for (const { id } of [stored, ...copies]) await storage.blobs.delete(id)
  })

  it('puts at once fill the quota although together they need more than may be staged', async () => {
    await using storage = await open({ blobStore: { maxTotalSize: 4 * MIB, maxBlobSize: MIB } })
    const { put } = watchedPuts(storage)
    const outcomes = await Promise.all(times(12, (i) => put(MIB, `full ${i}`)))
    expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(4)
    await storage.blobs.cleanup({ olderThan: new Date(Date.now() + 60_000) })
  })

  it('the puts of a transaction at once stage no more, and are refused as they would be alone', async () => {
    await using storage = await open({ blobStore: { maxTotalSize: MIB } })
    const peaks = await storage.transaction(async ({ blobs }) => {
      const { put, peaks } = watchedPuts({ ...storage, blobs })
      const outcomes = await Promise.all(times(PUTS, (i) => put(900_000, `inside ${i}`)))
      expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(1)
      return peaks
    })
    expect(peaks.held).toBeLessThan(3 * MIB + PUTS * CHUNK)
    await storage.blobs.cleanup({ olderThan: new Date(Date.now() + 60_000) })
  }, 60_000)
})

it(`${PUTS} contents staged at once without a limit hold everything`, async () => {
  const bytes = new MemoryBytes()
  const peaks = { held: 0 }
  await Promise.all(times(PUTS, async (i) => bytes.stage(chunks(900_000, `${i}`, peaks), { maxBytes: MIB })))
  expect(peaks.held).toBe(PUTS * 900_000)
})

/** Puts streams, and measures how much the unfinished puts have read together, and how much is staged on disk. */
function watchedPuts({ blobs, config: { blobStore } }: Pick<Storage, 'blobs' | 'config'>) {
  const peaks = { held: 0, staged: 0 }
  const now = { held: 0 }
  const tmp = blobStore.type === 'local' ? join(blobStore.storePath, 'tmp') : undefined
  const measure = () => {
    peaks.held = Math.max(peaks.held, now.held)
    if (tmp === undefined) return
    const sizes = readdirSync(tmp).map((name) => statSync(join(tmp, name), { throwIfNoEntry: false })?.size ?? 0)
    peaks.staged = Math.max(
      peaks.staged,
      sizes.reduce((sum, size) => sum + size, 0),
    )
  }
  const put = async (size: number, text: string): Promise<string> => {
    const own = { held: 0 }
    async function* source() {
      for await (const chunk of chunks(size, text, own)) {
        now.held += chunk.length
        measure()
        yield chunk
      }
    }
    try {
      await blobs.put(source())
      return 'stored'
    } catch (error) {
      return String(Reflect.get(Object(error), 'code'))
    } finally {
      now.held -= own.held
    }
  }
  return { put, peaks }
}

async function* chunks(size: number, text: string, total: { held: number }) {
  for (let left = size; left > 0; left -= CHUNK) {
    const chunk = Buffer.alloc(Math.min(left, CHUNK), text)
    await new Promise(setImmediate)
    total.held += chunk.length
    yield chunk
  }
}
