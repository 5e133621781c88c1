import { randomUUID } from 'node:crypto'
import { and, eq, lte, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { notExpired } from '../../database/expiry.ts'
import { batch, statement } from '../../database/statement.ts'
import { instantOf } from '../../validation/age.ts'
import { EARLIEST } from '../../validation/instants.ts'
import { checkSignal } from '../../validation/signal.ts'
import type { BlobCleanup, CleanupBlobsOptions } from '../types.ts'
import { collectContent } from './collect.ts'
import { findNamed } from './named.ts'
import { newMark, noteUses, USE_MILLIS } from './records.ts'
import { type RemovalRule, removableBy, removeRecord } from './remove.ts'
import type { BlobStore } from './store.ts'
import { lockedBatch } from './usage.ts'

/** How many records are removed at a time: one search of all texts is for so many ids. */
const PAGE_SIZE = 1000
const ABORTED = 'The cleanup was aborted by its signal; what was removed stays removed'
const HOUR_MILLIS = 3_600_000
const DAY_MILLIS = 86_400_000

type CleanupQuery = RemovalRule & { at: Date; after: string; limit: number }

/** Selects removable records in the order of an index, so that the scan ends with the last one. */
function removableQuery(by: 'expiresAt' | 'lastUsedAt') {
  return statement((db, arg: CleanupQuery) => {
    const { blobs: b, blobContent: c } = db.tables
    const key = b[by]
    const due =
      by === 'expiresAt'
        ? lte(b.expiresAt, arg.expiredBy)
        : and(lte(b.lastUsedAt, arg.usedBefore), notExpired(b, arg.expiredBy))
    return db.orm
      .select({ id: b.id, at: key, size: c.size })
      .from(b)
      .innerJoin(c, eq(c.hash, b.hash))
      .where(and(due, removableBy(db, arg), sql`(${key}, ${b.id}) > (${sql.param(arg.at, key)}, ${arg.after})`))
      .orderBy(key, b.id)
      .limit(arg.limit)
  })
}

interface Removable {
  id: string
  /** The last use, or when it has expired. */
  at: Date | null
  /** In bytes. */
  size: number
}

const expiredRecords = removableQuery('expiresAt')
const unusedRecords = removableQuery('lastUsedAt')

const markUnused = statement((db, arg: RemovalRule & { id: string; mark: Date }) => {
  const { blobs: b } = db.tables
  return db.orm
    .update(b)
    .set({ lastUsedAt: arg.mark })
    .where(and(eq(b.id, arg.id), removableBy(db, arg)))
    .returning({ id: b.id })
})

const unmarkOne = statement(({ orm, tables: { blobs: b } }, arg: { id: string; at: Date; mark: Date }) =>
  orm
    .update(b)
    .set({ lastUsedAt: arg.at })
    .where(and(eq(b.id, arg.id), eq(b.lastUsedAt, arg.mark))),
)

/**
 * Removes expired records, and records that were last used before `olderThan`, by default `cleanupAfterDays` ago, and
 * that no message mentions and no other text names. Safe to repeat.
 *
 * @throws {ABORTED} when the signal is aborted
 */
export async function cleanUp(db: Db, store: BlobStore, options: CleanupBlobsOptions): Promise<BlobCleanup> {
  const now = await store.confirmedNow()
  const { olderThan = defaultOlderThan(store, now), dryRun = false, signal, onProgress } = options
  const rule = { force: false, usedBefore: usedBefore(instantOf(olderThan, now), now), expiredBy: now }
  const total: BlobCleanup = { removed: 0, bytes: 0 }
  const count = ({ size }: Removable) => {
    total.removed += 1
    total.bytes += size
    onProgress?.({ ...total })
  }
  checkSignal(signal, ABORTED)
  for await (const records of pagesOf(expiredRecords, db, store, rule)) {
    for (const record of records) {
      checkSignal(signal, ABORTED)
      if (dryRun || (await removeUnneeded(db, store, { ...rule, id: record.id, lastUsedAt: null }))) count(record)
    }
  }
  for await (const records of pagesOf(unusedRecords, db, store, rule)) {
    if (dryRun) for (const record of await unnamed(store, records)) count(record)
    else await removeUnnamed(db, store, records, { rule, signal, count })
    checkSignal(signal, ABORTED)
  }
  return total
}

/** Yields the records that a query selects, page by page. */
async function* pagesOf(query: typeof unusedRecords, db: Db, store: BlobStore, rule: RemovalRule) {
  for (let from = { at: EARLIEST, after: '' }; ; ) {
    await store.onStep?.('cleanup.select')
    const records = await query.all(db, { ...rule, ...from, limit: PAGE_SIZE })
    const last = records.at(-1)
    if (!last?.at) return
    yield records
    from = { at: last.at, after: last.id }
  }
}

/**
 * Returns the time before which the last use of a removable record lies. It advances once an hour, so that the texts are
 * searched for the records of an hour at once.
 */
function defaultOlderThan({ cleanupAfterDays }: BlobStore, now: Date): Date {
  if (cleanupAfterDays === undefined) return EARLIEST
  const daysAgo = now.getTime() - cleanupAfterDays * DAY_MILLIS
  return new Date(Math.max(EARLIEST.getTime(), Math.floor(daysAgo / HOUR_MILLIS) * HOUR_MILLIS))
}

/** Returns the time that a stored last use must not exceed, so that the last use itself was before `olderThan`. */
function usedBefore(olderThan: Date, now: Date): Date {
  if (olderThan >= now) return olderThan // there was no use after `now`
  return new Date(Math.max(EARLIEST.getTime(), olderThan.getTime() - USE_MILLIS))
}

/** Returns the records that no text names. */
async function unnamed<Record extends { id: string }>(store: BlobStore, records: readonly Record[]): Promise<Record[]> {
  const ids = records.map(({ id }) => id)
  const named = await findNamed(store.texts, ids)
  return records.filter(({ id }) => !named.has(id))
}

interface UnnamedRemoval {
  rule: RemovalRule
  signal: AbortSignal | undefined
  /** Counts a record that is removed. */
  count(record: Removable): void
}

/**
 * Removes records that no text names, unless they were used since they were selected, and counts each.
 *
 * A text that names a record may be written during the search, at a place already read. So each record is marked before
 * the search, and removed only if it still has this mark: who reads or lists the record in between, takes the mark away.
 * A marked record is there as before, so a cleanup may die at any time. It stays due, and the next cleanup searches again.
 */
async function removeUnnamed(
  db: Db,
  store: BlobStore,
  records: readonly Removable[],
  { rule, signal, count }: UnnamedRemoval,
): Promise<void> {
  const mark = newMark() // of this search alone: another cleanup may mark a record that was read after this search
  const marked: Removable[] = []
  try {
    for (const record of records) {
      checkSignal(signal, ABORTED)
      await store.onStep?.('cleanup.mark')
      // One at a time: transactions that mention several blobs lock them in any order.
      const [[isMarked]] = await lockedBatch(db, 'brief', [markUnused.with({ ...rule, id: record.id, mark })])
      if (isMarked) marked.push(record)
    }
    await store.onStep?.('cleanup.search')
    const removable = await unnamed(store, marked)
    const named = marked.filter((record) => !removable.includes(record)).map(({ id }) => id)
    // A name counts as a use: the next search for the blob is as far away as after a read.
    await noteUses(db, named, rule.expiredBy)
    for (const record of removable) {
      checkSignal(signal, ABORTED)
      if (await removeUnneeded(db, store, { ...rule, id: record.id, lastUsedAt: mark })) count(record)
    }
  } catch (error) {
    await unmark(db, marked, mark).catch(() => {}) // the database may be out of reach
    throw error
  }
}

/** Gives the records that still have a mark their last use again. */
async function unmark(db: Db, records: readonly Removable[], mark: Date): Promise<void> {
  await batch(
    db,
    // Sorted, as in `noteUses`.
    records
      .toSorted((a, b) => (a.id < b.id ? -1 : 1))
      .map(({ id, at }) => unmarkOne.with({ id, at: at ?? mark, mark })),
  )
}

/** Removes a record that the rule allows, and its content if nothing else needs that. Returns true if it was removed. */
async function removeUnneeded(
  db: Db,
  store: BlobStore,
  removal: RemovalRule & { id: string; lastUsedAt: Date | null },
): Promise<boolean> {
  await store.onStep?.('cleanup.remove')
  const target = { ...removal, ownerId: null, reservation: randomUUID(), reservedUntil: store.now() }
  const removed = await removeRecord(db, target, 'brief')
  if (removed) await collectContent(db, store, removed.hash)
  return removed !== undefined
}
