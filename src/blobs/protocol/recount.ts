import { sql } from 'drizzle-orm'
import { type Builder, statement } from '../../database/statement.ts'
import { USAGE_ROWS } from './usage.ts'

/** Returns what each counter should hold. What removals still count belongs to the bytes. */
function countOf({ orm, tables: { blobUsage: u, blobContent: c, blobRemovals: r, blobs: b } }: Builder) {
  const bytes = orm.select({ sum: sql`coalesce(sum(${c.size}), 0)`.as('sum') }).from(c)
  const removals = orm.select({ sum: sql`coalesce(sum(${r.counted}), 0)`.as('sum') }).from(r)
  const contents = orm.select({ count: sql`count(*)`.as('count') }).from(c)
  const records = orm.select({ count: sql`count(*)`.as('count') }).from(b)
  const id = (name: keyof typeof USAGE_ROWS) => sql.raw(String(USAGE_ROWS[name]))
  return sql`case ${u.id} when ${id('bytes')} then (${bytes}) + (${removals}) when ${id('contents')} then (${contents}) else (${records}) end`
}

/** Returns what each counter holds and should hold, both of one moment. */
export const countAll = statement((db, _: object) => {
  const { blobUsage: u } = db.tables
  return db.orm.select({ id: u.id, stored: u.used, counted: countOf(db).mapWith(Number).as('counted') }).from(u)
})

/** Sets each counter to what it should hold. */
export const recountUsage = statement((db, _: object) => db.orm.update(db.tables.blobUsage).set({ used: countOf(db) }))
