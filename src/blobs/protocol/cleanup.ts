import { randomUUID } from 'node:crypto'
import { and, eq, lte, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { notExpired } from '../../database/expiry.ts'
import { statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import { instantOf } from '../../validation/age.ts'
import { checkSignal } from '../../validation/signal.ts'
import type { BlobCleanup, CleanupBlobsOptions } from '../types.ts'
import { collectContent } from './collect.ts'
import { findNamed } from './named.ts'
import { noteUses, USE_MILLIS } from './records.ts'
import { type RemovalRule, type RemovedRecord, removableBy, removeRecord } from './remove.ts'
import { expireReservation, insertRecord, type Reservation } from './reserve.ts'
import type { BlobStore } from './store.ts'

/** How many records are removed at a time: one search of all texts is for so many ids. */
const PAGE_SIZE = 1000
const ABORTED = 'The cleanup was aborted by its signal; what was removed stays removed'
const HOUR_MILLIS = 3_600_000
const DAY_MILLIS = 86_400_000
/** The earliest instant that can be stored. */
const EARLIEST = new Date('0001-01-01T00:00:00.000Z')

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
  /** In bytes. */
  size: number
}

const expiredRecords = removableQuery('expiresAt')
const unusedRecords = removableQuery('lastUsedAt')

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
      if (dryRun || (await removeExpired(db, store, record.id, rule))) count(record)
    }
  }
  for await (const records of pagesOf(unusedRecords, db, store, rule)) {
    const named = await findNamed(
      store.texts,
      records.map(({ id }) => id),
    )
    const unnamed = records.filter(({ id }) => !named.has(id))
    // A name counts as a use: the next search for the blob is as far away as after a read.
    if (!dryRun) await noteUses(db, named, rule.expiredBy)
    if (dryRun) for (const record of unnamed) count(record)
    else await removeUnnamed(db, store, unnamed, { rule, signal, count })
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

async function removeExpired(db: Db, store: BlobStore, id: string, rule: RemovalRule): Promise<boolean> {
  await store.onStep?.('cleanup.remove')
  const removed = await removeRecord(
    db,
    { ...rule, id, ownerId: null, reservation: randomUUID(), reservedUntil: store.now() },
    'brief',
  )
  if (removed) await collectContent(db, store, removed.hash)
  return removed !== undefined
}

/** Records that were removed, by their ids. A reservation of each keeps its content. */
type Removals = Map<string, { record: RemovedRecord; reservation: Reservation }>

interface UnnamedRemoval {
  rule: RemovalRule
  signal: AbortSignal | undefined
  /** Counts a record that is removed for good. */
  count(record: Removable): void
}

/**
 * Removes records that a search has not found named, unless they were used since, and counts each. An aborted signal
 * leaves the rest of the records.
 *
 * A text that names a record may have been written, or moved to where the search had been, before the record was removed.
 * So the texts are searched again after the removals were committed, and the records that are named now come back. Until
 * then reservations keep their contents. No lock has to stop the writers of all tables for the time of a search.
 */
async function removeUnnamed(
  db: Db,
  store: BlobStore,
  unnamed: readonly Removable[],
  { rule, signal, count }: UnnamedRemoval,
): Promise<void> {
  const removals: Removals = new Map()
  try {
    for (const { id } of unnamed) {
      if (signal?.aborted) break // the records that are removed already still need the second search
      await store.onStep?.('cleanup.remove')
      const reservation = randomUUID()
      const reservedUntil = new Date(store.now().getTime() + HOUR_MILLIS)
      const record = await removeRecord(db, { ...rule, id, ownerId: null, reservation, reservedUntil }, 'brief')
      if (record) removals.set(id, { record, reservation: { id: reservation, hash: record.hash } })
    }
    await store.onStep?.('cleanup.decide')
    const named = await findNamed(store.texts, [...removals.keys()])
    for (const id of named) await putBack(db, removals, id)
    await noteUses(db, named, rule.expiredBy)
  } catch (error) {
    // Without the second search nobody knows whether a record is named. All at once: the database may be out of reach.
    await Promise.allSettled(Array.from(removals.keys(), (id) => putBack(db, removals, id)))
    throw error
  }
  for (const record of unnamed) {
    const reservation = removals.get(record.id)?.reservation
    if (!reservation) continue
    await expireReservation(db, reservation, store.now())
    await collectContent(db, store, reservation.hash)
    count(record)
  }
}

async function putBack(db: Db, removals: Removals, id: string): Promise<void> {
  const removal = removals.get(id)
  if (removal && (await insertRecord(db, removal.reservation, removal.record, 'brief')) === undefined) {
    const message = `The blob ${id} is named and could not be put back: the search of all texts took more than an hour`
    throw new StorageError('TIMEOUT', message)
  }
  removals.delete(id)
}
