import { createHash } from 'node:crypto'
import { and, eq, gt, notExists, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { batch, statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import { type Content, firstLocation } from '../bytes/backend.ts'
import type { VerifyStep } from '../types.ts'
import { collectContent, selectContent } from './collect.ts'
import type { BlobStore } from './store.ts'
import { changeRecordCount, lockedBatch, readUsage, setUsage, subtractUsage, USAGE_ROWS } from './usage.ts'

/**
 * A check of one kind of problem. Yields once for each item that it has checked: the item's name if it is wrong (and,
 * with `repair`, repaired), else undefined.
 */
export type Check = (db: Db, store: BlobStore, repair: boolean) => AsyncGenerator<string | undefined>

/** No put takes so long: bytes that were staged earlier are leftovers. */
export const STALE_MILLIS = 86_400_000

const PAGE_SIZE = 500

/** In this order, because the repair of one check may cause what the next one finds. */
export const CHECKS: Record<VerifyStep, Check> = { staged, damaged, missing, unreferenced, strays, usage }

/** Finds staged bytes that no put will commit. */
async function* staged(_: Db, store: BlobStore, repair: boolean): AsyncGenerator<string> {
  const before = new Date(store.now().getTime() - STALE_MILLIS)
  const found = await store.bytes.sweepStaged(before, { dryRun: !repair })
  for (let i = 0; i < found; i++) yield 'tmp'
}

/** Finds bytes whose length or hash differs from their record. */
async function* damaged(db: Db, { bytes }: BlobStore, repair: boolean): AsyncGenerator<string | undefined> {
  for await (const content of liveContents(db)) {
    const wrong = !(await isIntact(content, bytes.open(firstLocation(content))))
    if (wrong && repair) yield (await bytes.quarantine(firstLocation(content))) ? content.hash : undefined
    else yield wrong ? content.hash : undefined
  }
}

/** Finds records whose bytes do not exist. */
async function* missing(db: Db, store: BlobStore, repair: boolean): AsyncGenerator<string | undefined> {
  for await (const { hash } of liveContents(db)) {
    const lost =
      (await store.bytes.size(firstLocation({ hash, size: 0 }))) === undefined &&
      (await confirmLost(db, store, hash, repair))
    yield lost ? hash : undefined
  }
}

/** Finds contents that no record and no put needs. */
async function* unreferenced(db: Db, store: BlobStore, repair: boolean): AsyncGenerator<string> {
  for await (const { hash } of allContents(selectUnreferenced, db, store.now())) {
    if (!repair || (await collectContent(db, store, hash))) yield hash
  }
}

/** Finds bytes that have no row. */
async function* strays(db: Db, store: BlobStore, repair: boolean): AsyncGenerator<string | undefined> {
  for await (const { hash } of store.bytes.list()) {
    if (await selectContent.first(db, { hash })) yield undefined
    else yield (await (repair ? collectContent(db, store, hash) : confirmStray(db, store, hash))) ? hash : undefined
  }
}

/** Finds counters that differ from the number and size of the rows. */
async function* usage(db: Db, _: BlobStore, repair: boolean): AsyncGenerator<string | undefined> {
  const { stored, counted } = await db.transaction(async (tx) => {
    await lockedBatch(tx, 'brief', [])
    const stored = await readUsage(tx)
    const [contents] = await countContents.all(tx, {})
    const [records] = await countAllRecords.all(tx, {})
    const counted = { bytes: 0, contents: 0, ...contents, records: records?.count ?? 0 }
    if (repair)
      await batch(
        tx,
        NAMES.map((name) => setUsage.with({ id: USAGE_ROWS[name], used: counted[name] })),
      )
    return { stored, counted }
  })
  for (const name of NAMES) yield stored[name] === counted[name] ? undefined : name
}

const NAMES = Object.keys(USAGE_ROWS) as (keyof typeof USAGE_ROWS)[] // the keys of a constant

async function isIntact({ hash }: Content, chunks: AsyncIterable<Uint8Array>): Promise<boolean> {
  const running = createHash('sha256')
  try {
    for await (const chunk of chunks) running.update(chunk)
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    if (error.code === 'BLOB_NOT_FOUND') return true // the next check finds it
    if (error.code === 'BLOB_CORRUPTED') return false
    throw error
  }
  return running.digest('hex') === hash
}

/**
 * Checks again, under the usage lock, that the bytes are lost: a put may have been about to write them. Returns true if
 * they are, and with `repair` removes the records and the content.
 */
function confirmLost(db: Db, store: BlobStore, hash: string, repair: boolean): Promise<boolean> {
  return db.transaction(async (tx) => {
    const [[content]] = await lockedBatch(tx, 'brief', [selectLiveUnreserved.with({ hash, now: store.now() })])
    if (!content || (await store.bytes.size(firstLocation({ hash, size: 0 }))) !== undefined) return false
    if (!repair) return true
    const [removed] = await batch(tx, [
      removeRecords.with({ hash }),
      removeContent.with({ hash }),
      subtractUsage.with(content),
    ])
    await changeRecordCount.all(tx, { change: -removed.length })
    return true
  })
}

/** Checks again, under the usage lock, that the bytes have no row: a running transaction may have put them. */
function confirmStray(db: Db, store: BlobStore, hash: string): Promise<boolean> {
  return db.transaction(async (tx) => {
    const [[content]] = await lockedBatch(tx, 'brief', [selectContent.with({ hash })])
    return !content && (await store.bytes.size(firstLocation({ hash, size: 0 }))) !== undefined
  })
}

type PageQuery = { after: string; now: Date }

const selectLive = statement(({ orm, tables: { blobContent: c } }, arg: PageQuery) =>
  orm
    .select({ hash: c.hash, size: c.size })
    .from(c)
    .where(and(gt(c.hash, arg.after), eq(c.state, 'live')))
    .orderBy(c.hash)
    .limit(PAGE_SIZE),
)

const selectUnreferenced = statement(({ orm, tables: { blobContent: c, blobs: b, blobLeases: l } }, arg: PageQuery) => {
  const records = orm.select({ id: b.id }).from(b).where(eq(b.hash, c.hash))
  const reservations = orm
    .select({ id: l.id })
    .from(l)
    .where(and(eq(l.hash, c.hash), gt(l.expiresAt, arg.now)))
  return orm
    .select({ hash: c.hash, size: c.size })
    .from(c)
    .where(and(gt(c.hash, arg.after), notExists(records), notExists(reservations)))
    .orderBy(c.hash)
    .limit(PAGE_SIZE)
})

const liveContents = (db: Db) => allContents(selectLive, db, new Date(0))

async function* allContents(select: typeof selectLive, db: Db, now: Date): AsyncGenerator<Content> {
  for (let after = ''; ; ) {
    const contents = await select.all(db, { after, now })
    yield* contents
    const last = contents.at(-1)
    if (last === undefined) return
    after = last.hash
  }
}

/** Selects a live content that no put has reserved. */
const selectLiveUnreserved = statement(
  ({ orm, tables: { blobContent: c, blobLeases: l } }, arg: { hash: string; now: Date }) => {
    const reservations = orm
      .select({ id: l.id })
      .from(l)
      .where(and(eq(l.hash, c.hash), gt(l.expiresAt, arg.now)))
    return orm
      .select({ size: c.size })
      .from(c)
      .where(and(eq(c.hash, arg.hash), eq(c.state, 'live'), notExists(reservations)))
  },
)

const removeRecords = statement(({ orm, tables: { blobs: b } }, arg: { hash: string }) =>
  orm.delete(b).where(eq(b.hash, arg.hash)).returning({ id: b.id }),
)

const removeContent = statement(({ orm, tables: { blobContent: c } }, arg: { hash: string }) =>
  orm.delete(c).where(eq(c.hash, arg.hash)),
)

const countContents = statement(({ orm, tables: { blobContent: c } }, _: object) =>
  orm
    .select({
      bytes: sql`coalesce(sum(${c.size}), 0)`.mapWith(Number),
      contents: sql`count(*)`.mapWith(Number),
    })
    .from(c),
)

const countAllRecords = statement(({ orm, tables: { blobs: b } }, _: object) =>
  orm.select({ count: sql`count(*)`.mapWith(Number) }).from(b),
)
