import { randomUUID } from 'node:crypto'
import { and, eq, exists, lte, notExists, or, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { type Builder, statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import { LATEST } from '../../validation/instants.ts'
import { collectContent } from './collect.ts'
import { findRecord } from './records.ts'
import type { BlobStore, TransactionContents } from './store.ts'
import { type LockUse, lockedBatch, USAGE_ROWS } from './usage.ts'

/** Which records may be removed: those that were not used and are not mentioned, and those that have expired. */
export interface RemovalRule {
  /** Removes a record even if a message mentions it. */
  force: boolean
  /** Removes records that were last used at or before this time. */
  usedBefore: Date
  /** Removes records that have expired by this time, whoever mentions them. */
  expiredBy: Date
}

type Removal = RemovalRule & {
  id: string
  /** Removes a record of this owner only. Null removes anybody's. */
  ownerId: string | null
  /** Removes a record with this last use only. Null removes a record with any. */
  lastUsedAt: Date | null
  /** The reservation of the record's content that is left behind. When it has expired, the collector looks at the content. */
  reservation: string
  reservedUntil: Date
}

interface RemovedRecord {
  hash: string
  expiresAt: Date | null
}

type Target = Pick<Removal, 'id' | 'ownerId' | 'lastUsedAt'>

/** Returns the condition that a rule lets a record be removed. A mention by anybody's message counts. */
export function removableBy({ orm, tables: { blobs: b, blobRefs: r } }: Builder, rule: RemovalRule): SQL | undefined {
  const mentions = orm.select({ id: r.blobId }).from(r).where(eq(r.blobId, b.id))
  const unmentioned = sql`case when ${rule.force} then true else ${notExists(mentions)} end`
  return or(lte(b.expiresAt, rule.expiredBy), and(lte(b.lastUsedAt, rule.usedBefore), unmentioned))
}

/** Returns the condition that a record has the id, and the owner and the last use if they are given. */
const isTarget = ({ tables: { blobs: b } }: Builder, { id, ownerId, lastUsedAt }: Target) =>
  and(
    eq(b.id, id),
    eq(b.ownerId, sql`coalesce(${ownerId}, ${b.ownerId})`),
    eq(b.lastUsedAt, sql`coalesce(${sql.param(lastUsedAt, b.lastUsedAt)}, ${b.lastUsedAt})`),
  )

const matchesRemovalRule = (db: Builder, arg: Removal) => and(isTarget(db, arg), removableBy(db, arg))

const lockRecord = statement((db, arg: Target) => {
  const { blobs: b } = db.tables
  return db.orm
    .update(b)
    .set({ lastUsedAt: sql`${b.lastUsedAt}` })
    .where(isTarget(db, arg))
})

const insertReservation = statement((db, arg: Removal) => {
  const { blobLeases: l, blobs: b } = db.tables
  const expiresAt = sql`${sql.param(arg.reservedUntil, l.expiresAt)}`.as('expires_at')
  return db.orm.insert(l).select(
    db.orm
      .select({ id: sql`${arg.reservation}`.as('id'), hash: b.hash, expiresAt })
      .from(b)
      .where(matchesRemovalRule(db, arg)),
  )
})

const uncountRecord = statement((db, arg: Removal) => {
  const { blobUsage: u, blobs: b } = db.tables
  const removable = db.orm.select({ id: b.id }).from(b).where(matchesRemovalRule(db, arg))
  return db.orm
    .update(u)
    .set({ used: sql`${u.used} - 1` })
    .where(and(eq(u.id, USAGE_ROWS.records), exists(removable)))
})

const deleteRecord = statement((db, arg: Removal) =>
  db.orm.delete(db.tables.blobs).where(matchesRemovalRule(db, arg)).returning(),
)

/**
 * Removes a record, in one round trip, if the rule allows it, and leaves a reservation of its content. Returns the
 * removed record, or undefined if nothing was removed. Locks the blob row first, as an append that mentions it does:
 * either we see the mention or the append finds no blob. The handle has no owner, because a mention by anybody counts.
 */
export async function removeRecord(db: Db, removal: Removal, lock: LockUse): Promise<RemovedRecord | undefined> {
  const [, , , [removed]] = await lockedBatch(db, lock, [
    lockRecord.with(removal),
    insertReservation.with(removal),
    uncountRecord.with(removal),
    deleteRecord.with(removal),
  ])
  return removed
}

/**
 * Removes a blob, of one owner or of anybody, and its bytes if no other record shares them: at once, or after the end of
 * the transaction. Returns true if the blob existed.
 *
 * @throws {BLOB_IN_USE} when a message mentions the blob and `force` is false.
 */
export async function deleteBlob(
  db: Db,
  store: BlobStore,
  { id, ownerId, force }: Pick<Removal, 'id' | 'ownerId' | 'force'>,
  transaction?: TransactionContents,
): Promise<boolean> {
  const now = store.now()
  await store.onStep?.('delete.remove')
  const rule = { force, usedBefore: LATEST, expiredBy: now }
  const lock = transaction ? 'lasting' : 'brief'
  const target = { id, ownerId, lastUsedAt: null, reservation: randomUUID(), reservedUntil: now }
  const removed = await removeRecord(db, { ...rule, ...target }, lock)
  if (removed === undefined) {
    const record = await findRecord(db, id, now)
    if (record && (ownerId ?? record.ownerId) === record.ownerId) throw inUse(id)
    return false
  }
  if (transaction) transaction.contentsToCollect.add(removed.hash)
  // If this fails, maintenance collects the content: the record, which was to be deleted, is gone.
  else await collectContent(db, store, removed.hash).catch(() => {})
  return removed.expiresAt === null || removed.expiresAt > now // an expired blob was absent already
}

function inUse(id: string): StorageError {
  const message = 'A message mentions the blob: remove the message, or delete the blob with { force: true }'
  return new StorageError('BLOB_IN_USE', message, { details: { id } })
}
