import { randomUUID } from 'node:crypto'
import { and, eq, gt, isNull, lte, or, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { statement } from '../../database/statement.ts'
import { collectContent } from './collect.ts'
import { type RemovalRule, removableBy, removeRecord } from './remove.ts'
import type { BlobStore } from './store.ts'

/** What a cleanup removed, or would. */
export interface BlobCleanup {
  /** Records. */
  removed: number
  /** Their sizes, added up; contents that other records share stay. */
  bytes: number
}

/** How many records are read at a time. */
const AT_ONCE = 500

type CleanupQuery = RemovalRule & { at: Date; after: string; limit: number }

/** Records that may go, in the order of an index that ends where they end. */
function going(by: 'expiresAt' | 'lastUsedAt') {
  return statement((db, arg: CleanupQuery) => {
    const { blobs: b, blobContent: c } = db.tables
    const key = b[by]
    const due =
      by === 'expiresAt'
        ? lte(b.expiresAt, arg.expiredBy)
        : and(lte(b.lastUsedAt, arg.usedBefore), or(isNull(b.expiresAt), gt(b.expiresAt, arg.expiredBy)))
    return db.orm
      .select({ id: b.id, at: key, size: c.size })
      .from(b)
      .innerJoin(c, eq(c.hash, b.hash))
      .where(and(due, removableBy(db, arg), sql`(${key}, ${b.id}) > (${sql.param(arg.at, key)}, ${arg.after})`))
      .orderBy(key, b.id)
      .limit(arg.limit)
  })
}

/** Each record is in one of them. */
const CLEANUP_QUERIES = [going('expiresAt'), going('lastUsedAt')]

/** Removes the records that no message mentions and that were last used before then, and those that have expired. @internal */
export async function cleanUp(
  db: Db,
  store: BlobStore,
  { usedBefore, dryRun }: { usedBefore: Date; dryRun: boolean },
): Promise<BlobCleanup> {
  const total: BlobCleanup = { removed: 0, bytes: 0 }
  const rule = { force: false, usedBefore, expiredBy: store.now() }
  for (const query of CLEANUP_QUERIES) {
    for (let from = { at: new Date(0), after: '' }; ; ) {
      await store.onStep?.('cleanup.select')
      const records = await query.all(db, { ...rule, ...from, limit: AT_ONCE })
      for (const { id, size } of records) {
        if (!dryRun && !(await removeAndCollect(db, store, id, rule))) continue // it has been used since
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

async function removeAndCollect(db: Db, store: BlobStore, id: string, rule: RemovalRule): Promise<boolean> {
  await store.onStep?.('cleanup.remove')
  const hash = await removeRecord(db, { ...rule, id, lease: randomUUID(), now: store.now() })
  if (hash !== undefined) await collectContent(db, store, hash)
  return hash !== undefined
}
