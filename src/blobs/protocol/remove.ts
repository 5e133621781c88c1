import { and, eq, exists, lte, notExists, or, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { type Builder, batch, statement } from '../../database/statement.ts'
import { COUNTERS, lockUsage } from './usage.ts'

const holdRecord = statement(({ orm, tables: { blobs: b } }, arg: { id: string }) =>
  orm
    .update(b)
    .set({ lastUsedAt: sql`${b.lastUsedAt}` })
    .where(eq(b.id, arg.id)),
)

/** When a record may go. */
export interface RemovalRule {
  /** Also where a message mentions it. */
  force: boolean
  /** Only where it was last used before then. */
  usedBefore: Date
  /** In any case where it has expired by then. */
  expiredBy: Date
}

type Removal = RemovalRule & { id: string; lease: string; now: Date }

/** Which records a rule lets go. */
export function removableBy({ orm, tables: { blobs: b, blobRefs: r } }: Builder, rule: RemovalRule): SQL | undefined {
  const mentions = orm.select({ id: r.blobId }).from(r).where(eq(r.blobId, b.id))
  const unmentioned = sql`case when ${rule.force} then true else ${notExists(mentions)} end`
  return or(lte(b.expiresAt, rule.expiredBy), and(lte(b.lastUsedAt, rule.usedBefore), unmentioned))
}

const matchesRemovalRule = (db: Builder, arg: Removal) => and(eq(db.tables.blobs.id, arg.id), removableBy(db, arg))

/** A lease that has run out already: the collector comes by expired leases. */
const leaveLease = statement((db, arg: Removal) => {
  const { blobLeases: l, blobs: b } = db.tables
  const expiresAt = sql`${sql.param(arg.now, l.expiresAt)}`.as('expires_at')
  return db.orm.insert(l).select(
    db.orm
      .select({ id: sql`${arg.lease}`.as('id'), hash: b.hash, expiresAt })
      .from(b)
      .where(matchesRemovalRule(db, arg)),
  )
})

const countRecordOut = statement((db, arg: Removal) => {
  const { blobUsage: u, blobs: b } = db.tables
  const going = db.orm.select({ id: b.id }).from(b).where(matchesRemovalRule(db, arg))
  return db.orm
    .update(u)
    .set({ used: sql`${u.used} - 1` })
    .where(and(eq(u.id, COUNTERS.records), exists(going)))
})

const deleteRecord = statement((db, arg: Removal) =>
  db.orm.delete(db.tables.blobs).where(matchesRemovalRule(db, arg)).returning({ hash: db.tables.blobs.hash }),
)

/**
 * Removes a record, in one round trip, where the rule lets it go; the hash of its content, or undefined. Its row is
 * held first, as by a message that comes to mention it: the rule then sees that message, or that one sees no blob.
 */
export async function removeRecord(db: Db, removal: Removal): Promise<string | undefined> {
  const [, , , , [removed]] = await batch(db, [
    lockUsage.with({}),
    holdRecord.with({ id: removal.id }),
    leaveLease.with(removal),
    countRecordOut.with(removal),
    deleteRecord.with(removal),
  ])
  return removed?.hash
}
