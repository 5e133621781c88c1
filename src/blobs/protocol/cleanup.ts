import { and, eq, lte, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { notExpired } from '../../database/expiry.ts'
import { statement } from '../../database/statement.ts'
import type { BlobCleanup, CleanupBlobsOptions } from '../types.ts'
import { collectContent } from './collect.ts'
import { type RemovalRule, removableBy, removeRecord } from './remove.ts'
import type { BlobStore } from './store.ts'

const PAGE_SIZE = 500
const DAY_MILLIS = 86_400_000
/** Before every instant that can be stored. */
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

/** Together they select every removable record once. */
const CLEANUP_QUERIES = [removableQuery('expiresAt'), removableQuery('lastUsedAt')]

/**
 * Removes expired records, and records that no message mentions and that were last used before `olderThan`: by default
 * `cleanupAfterDays` ago. Safe to repeat.
 */
export async function cleanUp(db: Db, store: BlobStore, options: CleanupBlobsOptions): Promise<BlobCleanup> {
  const { olderThan = defaultOlderThan(store), dryRun = false } = options
  const total: BlobCleanup = { removed: 0, bytes: 0 }
  const rule = { force: false, usedBefore: olderThan, expiredBy: store.now() }
  for (const query of CLEANUP_QUERIES) {
    for (let from = { at: new Date(0), after: '' }; ; ) {
      await store.onStep?.('cleanup.select')
      const records = await query.all(db, { ...rule, ...from, limit: PAGE_SIZE })
      for (const { id, size } of records) {
        if (!dryRun && !(await removeAndCollect(db, store, id, rule))) continue // used since it was selected
        total.removed += 1
        total.bytes += size
      }
      const last = records.at(-1)
      if (!last?.at) break
      from = { at: last.at, after: last.id }
    }
  }
  return total
}

function defaultOlderThan(store: BlobStore): Date {
  if (store.cleanupAfterDays === undefined) return EARLIEST
  const daysAgo = store.now().getTime() - store.cleanupAfterDays * DAY_MILLIS
  return new Date(Math.max(EARLIEST.getTime(), daysAgo))
}

async function removeAndCollect(db: Db, store: BlobStore, id: string, rule: RemovalRule): Promise<boolean> {
  await store.onStep?.('cleanup.remove')
  const hash = await removeRecord(db, { ...rule, id, now: store.now() })
  if (hash !== undefined) await collectContent(db, store, hash)
  return hash !== undefined
}
