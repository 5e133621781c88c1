import { randomBytes } from 'node:crypto'
import { eq } from 'drizzle-orm'
import { expect, it } from 'vitest'
import type { BytesBackend, Location } from '../../src/blobs/bytes/backend.ts'
import type { BlobStep } from '../../src/blobs/protocol/store.ts'
import { newBlobId } from '../../src/blobs/reference.ts'
import type { Db } from '../../src/database/db.ts'
import { runScript } from '../setup/processes.ts'
import { rounds } from '../setup/rounds.ts'
import { source } from './fixture.ts'
import { openLayer } from './layer.ts'
import { eachStore, INSIDE, SHARED } from './stores.ts'

eachStore({ ...SHARED, ...INSIDE }, (open, configure) => {
  it('three processes put, read, delete and collect the same contents without losing any', async () => {
    const config = await configure()
    const limited = JSON.stringify({ ...config, blobStore: { ...config.blobStore, maxTotalSize: 200_000 } })
    const scripts = [1, 2, 3].map((process) =>
      runScript<{ live: string[]; refused: number }>('test/blobs/programs/race.ts', [
        limited,
        String(rounds(20, 2000)),
        `${process}`,
      ]),
    )
    const said = (await Promise.all(scripts.map((script) => script.finished()))).flat()
    await using storage = await open()
    expect(await storage.blobs.verify()).toMatchObject({ ok: true })
    expect((await storage.blobs.stats()).count).toBe(said.flatMap(({ live }) => live).length)
    for (const { live } of said) for (const id of live) await storage.blobs.delete(id)
    expect(await storage.blobs.stats()).toMatchObject({ count: 0, contents: 0, bytes: 0 })
  })

  it('40 puts of 100 KB at once, from four processes, store exactly the 1 MB of maxTotalSize', async () => {
    const config = await configure()
    const limited = JSON.stringify({ ...config, blobStore: { ...config.blobStore, maxTotalSize: 1_000_000 } })
    const scripts = [1, 2, 3, 4].map((i) =>
      runScript<string[]>('test/blobs/programs/fill.ts', [limited, '10', `process ${i}`]),
    )
    const outcomes = (await Promise.all(scripts.map((script) => script.finished()))).flat(2)
    expect(outcomes).toHaveLength(40)
    expect(new Set(outcomes)).toEqual(new Set(['stored', 'BLOB_QUOTA_EXCEEDED']))
    expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(10)
    await using storage = await open()
    expect(await storage.blobs.stats()).toMatchObject({ count: 10, contents: 10, bytes: 1_000_000 })
    expect(await storage.blobs.verify()).toMatchObject({ ok: true })
    await storage.blobs.cleanup({ olderThan: new Date(Date.now() + 60_000) })
    expect(await storage.blobs.stats()).toMatchObject({ count: 0, bytes: 0 })
  })

  const moments: BlobStep[] = ['put.reserve', 'put.commit', 'put.insert', 'put.acknowledge']

  it.each(
    moments.flatMap((moment) =>
      ['deleted', 'put and deleted', 'verified'].map((happens) => [moment, happens] as const),
    ),
  )('put() loses no bytes when, before %s, the content is %s by another caller', async (moment, happens) => {
    const config = await configure()
    const other = await openLayer(config)
    const data = randomBytes(1000)
    const before = happens === 'deleted' ? await other.blobs.put(data) : undefined
    const { blobs, close } = await openLayer(config, {
      async onStep(step) {
        if (step !== moment) return
        if (happens === 'verified') await other.blobs.verify({ repair: true })
        else await other.blobs.delete((before ?? (await other.blobs.put(data))).id)
      },
    })
    const { id } = await blobs.put(data)
    expect((await blobs.bytes(id)).equals(data)).toBe(true)
    await close()
    expect(await other.blobs.verify()).toMatchObject({ ok: true })
    await other.close()
  })

  it.each([
    ['writes the file before the row', fileThenRow],
    ['skips the file if the row is live', skipIfLive],
  ])('a naive put that %s loses bytes', async (_, put) => {
    const other = await openLayer(await configure())
    const data = randomBytes(1000)
    const first = await other.blobs.put(data)
    const id = await put(other.database, other.bytes, data, async () => {
      await other.blobs.delete(first.id)
    })
    expect(await other.blobs.exists(id)).toBe(true)
    await expect(other.blobs.bytes(id)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    const report = await other.blobs.verify({ repair: true })
    expect(report.steps.find(({ step }) => step === 'missing')).toMatchObject({ found: 1 })
    await other.close()
  })
})

type NaivePut = (db: Db, bytes: BytesBackend, data: Buffer, meanwhile: () => Promise<void>) => Promise<string>

async function fileThenRow(...[db, bytes, data, meanwhile]: Parameters<NaivePut>): Promise<string> {
  const staged = await bytes.stage(source(data), { maxBytes: data.length })
  const { blobContent: c } = db.tables
  const [row] = await db.orm.select().from(c).where(eq(c.hash, staged.hash))
  const generation = row?.generation ?? ''
  await staged.commit(generation)
  await meanwhile()
  return insert(db, { ...staged, generation })
}

async function skipIfLive(...[db, bytes, data, meanwhile]: Parameters<NaivePut>): Promise<string> {
  const staged = await bytes.stage(source(data), { maxBytes: data.length })
  const { blobContent: c } = db.tables
  const [row] = await db.orm.select().from(c).where(eq(c.hash, staged.hash))
  await (row?.state === 'live' ? staged.discard() : staged.commit(''))
  await meanwhile()
  return insert(db, { ...staged, generation: row?.generation ?? '' })
}

async function insert(db: Db, { hash, size, generation }: Location): Promise<string> {
  const { blobContent, blobs } = db.tables
  const id = newBlobId()
  const now = new Date()
  await db.transaction(async (tx) => {
    await tx.orm.insert(blobContent).values({ hash, size, generation, state: 'live' }).onConflictDoNothing()
    const times = { createdAt: now, lastUsedAt: now }
    await tx.orm.insert(blobs).values({ id, hash, mimeType: 'text/plain', metadata: {}, ...times })
  })
  return id
}
