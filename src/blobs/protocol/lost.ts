import { and, eq, exists, gt, inArray, notExists, sql } from 'drizzle-orm'
import { type Builder, statement } from '../../database/statement.ts'
import type { Location } from '../bytes/backend.ts'
import { contentCounters, USAGE_ROWS, usageOfContent } from './usage.ts'

type LostQuery = Location & { now: Date }

/** Selects a live content that has this object, and that no put has reserved. */
function lostContent({ orm, tables: { blobContent: c, blobLeases: l } }: Builder, arg: LostQuery) {
  const reservations = orm
    .select({ id: l.id })
    .from(l)
    .where(and(eq(l.hash, c.hash), gt(l.expiresAt, arg.now)))
  const isIt = and(eq(c.hash, arg.hash), eq(c.generation, arg.generation), eq(c.state, 'live'))
  return orm
    .select({ hash: c.hash })
    .from(c)
    .where(and(isIt, notExists(reservations)))
}

export const selectLost = statement(lostContent)

export const uncountLostRecords = statement((db, arg: LostQuery) => {
  const { blobUsage: u, blobs: b } = db.tables
  const records = db.orm
    .select({ count: sql`count(*)`.as('count') })
    .from(b)
    .where(eq(b.hash, arg.hash))
  return db.orm
    .update(u)
    .set({ used: sql`${u.used} - (${records})` })
    .where(and(eq(u.id, USAGE_ROWS.records), exists(lostContent(db, arg))))
})

export const uncountLost = statement((db, arg: LostQuery) =>
  db.orm
    .update(db.tables.blobUsage)
    .set({ used: sql`${db.tables.blobUsage.used} - ${usageOfContent(db.tables, arg.size)}` })
    .where(and(contentCounters(db.tables), exists(lostContent(db, arg)))),
)

export const removeLostRecords = statement((db, arg: LostQuery) => {
  const { blobs: b } = db.tables
  return db.orm.delete(b).where(inArray(b.hash, lostContent(db, arg)))
})

export const removeLost = statement((db, arg: LostQuery) => {
  const { blobContent: c } = db.tables
  return db.orm
    .delete(c)
    .where(inArray(c.hash, lostContent(db, arg)))
    .returning({ hash: c.hash })
})
