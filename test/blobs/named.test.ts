import { randomBytes } from 'node:crypto'
import { getTableColumns, getTableName } from 'drizzle-orm'
import * as fc from 'fast-check'
import type { Storage } from 'holdfast'
import { expect, it } from 'vitest'
import { collectContent } from '../../src/blobs/protocol/collect.ts'
import { findNamed, moveIdsIn } from '../../src/blobs/protocol/named.ts'
import { removeRecord } from '../../src/blobs/protocol/remove.ts'
import type { BlobStep } from '../../src/blobs/protocol/store.ts'
import { newBlobId } from '../../src/blobs/reference.ts'
import type { Db } from '../../src/database/db.ts'
import { LazyDb } from '../../src/database/lazy-db.ts'
import { StorageError } from '../../src/errors.ts'
import { times } from '../../src/testing/contract.ts'
import { openLayer } from './layer.ts'
import { eachStore, MAIN_RECORDS, SHARED } from './stores.ts'

const DAY = 86_400_000
const inFortyDays = () => new Date(Date.now() + 40 * DAY)

/** The tables that hold no text of a program. */
const OUR_BOOKS = [
  'properties',
  'maintenance_leases',
  'blob_content',
  'blob_removals',
  'blob_chunks',
  'blob_leases',
  'blob_refs',
  'blob_usage',
  'message_search',
  'memory_search',
  'message_embeddings',
  'memory_embeddings',
]

eachStore(MAIN_RECORDS, (_, configure) => {
  it('findNamed() reads every column of text and JSON, except for our own books', async () => {
    const { database, close } = await openLayer(await configure())
    const searched: string[] = []
    const watched = new LazyDb(database.kit, async () => watching(database, searched))
    await findNamed([watched], [newBlobId()])
    const expected = Object.values(database.tables).flatMap((table) => {
      const columns = Object.values(getTableColumns(table))
      const texts = columns.filter((column) => /text|json/.test(column.getSQLType()))
      return texts.map(({ name }) => `"${getTableName(table)}"."${name}"`)
    })
    const left = expected.filter((column) => !searched.some((sql) => sql.includes(`cast(${column} as text)`)))
    expect(left.filter((column) => !OUR_BOOKS.some((table) => column.startsWith(`"${table}"`)))).toEqual([
      '"blobs"."id"',
      '"blobs"."hash"',
    ])
    await close()
  })

  it('findNamed() finds ids beyond the first batch, in keys of several columns and in long texts', async () => {
    const { database, close } = await openLayer(await configure())
    const { sessions, messages, kv } = database.tables
    const [early, late, long, absent] = times(4, newBlobId)
    const at = { createdAt: new Date(), updatedAt: new Date() }
    for (const id of ['a', 'b']) {
      const counts = { version: 1, lastSeq: 0, messageCount: 0, lastActiveAt: new Date() }
      await database.orm.insert(sessions).values({ id, metadata: {}, ...counts, ...at })
      const textOf = (i: number) => ({ 3: early, 998: `${late}.` })[i] ?? `${i}`
      const row = (i: number) => ({ sessionId: id, seq: i, id: `${i}`, content: textOf(i) ?? '', metadata: {} })
      await database.orm
        .insert(messages)
        .values(times(1000, (i) => ({ ...row(i), role: 'user', createdAt: new Date() })))
    }
    const value = `${'ü'.repeat(100_000)}${long}`
    await database.orm.insert(kv).values({ key: 'long', value, version: 1, ...at })
    const ids = [early, late, long, absent].map(String)
    expect(await findNamed([database], ids)).toEqual(new Set([early, late, long]))
    await close()
  })
})

function watching(db: Db, seen: string[]): Db {
  const watched: Pick<Db, 'run'> = {
    run: (query) => {
      seen.push(query.sql)
      return db.run(query)
    },
  }
  return watched as Db // findNamed calls nothing else
}

eachStore(SHARED, (open, configure) => {
  type Reads = (blobs: Storage['blobs'], id: string) => Promise<unknown>
  const moments: [name: string, moment: BlobStep, reads?: Reads][] = [
    ['named before its mark', 'cleanup.mark'],
    ['named before the search', 'cleanup.search'],
    ['read by get() and named after the search', 'cleanup.remove', (blobs, id) => blobs.get(id)],
    ['read by exists() and named after the search', 'cleanup.remove', (blobs, id) => blobs.exists(id)],
    ['listed and named after the search', 'cleanup.remove', (blobs) => blobs.list()],
    ['read by bytes() and named after the search', 'cleanup.remove', (blobs, id) => blobs.bytes(id)],
  ]

  it.each(moments)('cleanup() keeps a blob that is %s', async (_, moment, reads) => {
    await using storage = await open()
    await using later = await open({ now: inFortyDays })
    const { blobs, close } = await openLayer(await configure(), {
      now: inFortyDays,
      onStep: async (step) => {
        if (step !== moment) return
        await reads?.(later.blobs, id)
        await storage.kv.set('named late', id)
      },
    })
    const data = randomBytes(100)
    const { id, ...record } = await storage.blobs.put(data, { name: 'a', source: 'b', metadata: { c: 1 } })
    await blobs.cleanup()
    expect(await storage.blobs.get(id)).toMatchObject({ ...record, lastUsedAt: expect.any(Date) })
    expect((await storage.blobs.bytes(id)).equals(data)).toBe(true)
    expect(await storage.blobs.verify()).toMatchObject({ ok: true })
    await storage.kv.delete('named late')
    await close()
  })

  it('a naive cleanup, which searches only before it removes, loses a blob that is named in between', async () => {
    await using storage = await open()
    const { database, bytes, close } = await openLayer(await configure())
    const { id } = await storage.blobs.put(randomBytes(100))
    expect(await findNamed([database], [id])).toEqual(new Set())
    await storage.kv.set('named late', id)
    const now = inFortyDays()
    const rule = { force: false, usedBefore: now, expiredBy: now }
    const removal = { ...rule, id, ownerId: null, lastUsedAt: null, reservation: newBlobId(), reservedUntil: now }
    const removed = await removeRecord(database, removal, 'brief')
    await collectContent(database, { bytes, now: () => now }, String(removed?.hash))
    expect(await storage.kv.get('named late')).toBe(id)
    await expect(storage.blobs.bytes(id)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    await storage.kv.delete('named late')
    await close()
  })

  it('cleanup() leaves every blob as it is when the search fails', async () => {
    await using storage = await open()
    let broken = true
    const { blobs, database, close } = await openLayer(await configure(), {
      now: inFortyDays,
      onStep: (step) => {
        if (step === 'cleanup.search' && broken) throw new StorageError('TIMEOUT', 'The search failed')
      },
    })
    const data = randomBytes(100)
    const { id } = await storage.blobs.put(data)
    const recordsOf = async () => [await storage.blobs.stats(), await database.orm.select().from(database.tables.blobs)]
    const before = await recordsOf()
    await expect(blobs.cleanup()).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(await recordsOf()).toEqual(before)
    expect((await storage.blobs.bytes(id)).equals(data)).toBe(true)
    broken = false
    expect((await blobs.cleanup()).removed).toBeGreaterThan(0)
    expect(await storage.blobs.exists(id)).toBe(false)
    expect(await storage.blobs.verify()).toMatchObject({ ok: true })
    await close()
  })

  it('maintain() removes nothing because of its age when cleanupAfterDays is "never"', async () => {
    const never = { blobStore: { cleanupAfterDays: 'never' as const } }
    await using storage = await open(never)
    const { id } = await storage.blobs.put(randomBytes(100))
    await using later = await open({ ...never, now: () => new Date(Date.now() + 36_600 * DAY) })
    for (const { error } of await later.maintain()) expect(error).toBeUndefined()
    expect(await storage.blobs.exists(id)).toBe(true)
    await using thirty = await open({ now: inFortyDays })
    for (const { error } of await thirty.maintain()) expect(error).toBeUndefined()
    expect(await storage.blobs.exists(id)).toBe(false)
  })
})

it('moveIdsIn() finds exactly the ids that stand in a text, at any place', () => {
  const ids = times(3, newBlobId)
  const piece = fc.oneof(
    fc.constantFrom(...ids, newBlobId(), 'blob:', 'feed', '0', 'x', '"', 'f'.repeat(31)),
    fc.string({ maxLength: 40 }),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('')
      const [unnamed, named] = [new Set(ids), new Set<string>()]
      moveIdsIn(text, unnamed, named)
      const expected = ids.filter((id) => text.includes(id))
      expect(named).toEqual(new Set(expected))
      expect(unnamed).toEqual(new Set(ids.filter((id) => !text.includes(id))))
    }),
  )
})
