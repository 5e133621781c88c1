import { and, asc, eq, gte, lt, type SQL, sql } from 'drizzle-orm'
import { ownerOfNames } from '../../database/owner.ts'
import { pagedQuery } from '../../database/paging/list-query.ts'
import { prefixFilters } from '../../database/paging/prefix-range.ts'
import { type Builder, rowsStatement, statement } from '../../database/statement.ts'
import type { Json } from '../../schema/values.ts'
import { withUnexpiredSession } from '../sessions/unexpired.ts'

const isOwn = (db: Builder) => eq(db.tables.lists.ownerId, ownerOfNames(db))

export const isList = (db: Builder, key: string) => and(isOwn(db), eq(db.tables.lists.key, key))

export function isItemOf(db: Builder, key: string) {
  const { listItems: i } = db.tables
  return and(eq(i.ownerId, ownerOfNames(db)), eq(i.key, key))
}

export interface ListWrite {
  key: string
  /** The session that the list is to go with. Null leaves a list as it is. */
  sessionId: string | null
  now: Date
}

/**
 * Adds `count` to the length of a list, creating the list if needed. Locks the list until the transaction ends. Returns no
 * row, and changes nothing, if the session of the list has expired: see `deleteExpiredList`.
 */
export const extendList = statement((db, arg: ListWrite & { count: number }) => {
  const { lists } = db.tables
  return db.orm
    .insert(lists)
    .values({ ownerId: ownerOfNames(db), key: arg.key, sessionId: arg.sessionId, length: arg.count })
    .onConflictDoUpdate({
      target: [lists.ownerId, lists.key],
      set: {
        sessionId: sql`coalesce(excluded.session_id, ${lists.sessionId})`,
        length: sql`${lists.length} + excluded.length`,
      },
      setWhere: withUnexpiredSession(db, lists, arg.now),
    })
    .returning({ length: lists.length })
})

/** Removes a list whose session has expired, and which maintenance has not removed yet. */
export const deleteExpiredList = statement((db, arg: { key: string; now: Date }) => {
  const { lists } = db.tables
  return db.orm
    .delete(lists)
    .where(and(isList(db, arg.key), sql`not ${withUnexpiredSession(db, lists, arg.now)}`))
    .returning({ key: lists.key })
})

/** position = length - fromEnd. The length already includes the new items; `fromEnd` is 1 for the last item. */
export const insertItems = rowsStatement((db, rows: { key: string; fromEnd: number; value: Json }[]) => {
  const { lists, listItems } = db.tables
  return db.orm.insert(listItems).values(
    rows.map(({ key, fromEnd, value }) => ({
      ownerId: ownerOfNames(db),
      key,
      position: sql`(select ${lists.length} from ${lists} where ${isList(db, key)}) - cast(${fromEnd} as integer)`,
      value,
    })),
  )
})

export const selectLength = statement((db, arg: { key: string; now: Date }) => {
  const { lists } = db.tables
  return db.orm
    .select({ length: lists.length })
    .from(lists)
    .where(and(isList(db, arg.key), withUnexpiredSession(db, lists, arg.now)))
})

/** Returns the condition that the session of a list has not expired. The database asks once, not for each item. */
function isThere(db: Builder, key: string, now: Date): SQL {
  const { lists } = db.tables
  const isExpired = and(isList(db, key), sql`not ${withUnexpiredSession(db, lists, now)}`)
  return sql`not exists (select 1 from ${lists} where ${isExpired})`
}

export const selectItems = statement((db, arg: { key: string; start: number; end: number; now: Date }) => {
  const { listItems: i } = db.tables
  return db.orm
    .select({ value: i.value })
    .from(i)
    .where(
      and(isItemOf(db, arg.key), gte(i.position, arg.start), lt(i.position, arg.end), isThere(db, arg.key, arg.now)),
    )
    .orderBy(asc(i.position))
})

/** Writes items at given positions, whether or not there are items already. */
export const upsertItems = rowsStatement((db, rows: { key: string; position: number; value: Json }[]) => {
  const { listItems: i } = db.tables
  return db.orm
    .insert(i)
    .values(rows.map(({ key, position, value }) => ({ ownerId: ownerOfNames(db), key, position, value })))
    .onConflictDoUpdate({ target: [i.ownerId, i.key, i.position], set: { value: sql`excluded.value` } })
})

export const deleteItemsFrom = statement((db, arg: { key: string; position: number }) => {
  const { listItems: i } = db.tables
  return db.orm.delete(i).where(and(isItemOf(db, arg.key), gte(i.position, arg.position)))
})

export const setLength = statement((db, arg: { key: string; length: number }) =>
  db.orm.update(db.tables.lists).set({ length: arg.length }).where(isList(db, arg.key)),
)

/** Leaves a list to maintenance whose session has expired. */
export const deleteList = statement((db, arg: { key: string; now: Date }) => {
  const { lists } = db.tables
  return db.orm
    .delete(lists)
    .where(and(isList(db, arg.key), withUnexpiredSession(db, lists, arg.now)))
    .returning({ key: lists.key })
})

export const listKeys = pagedQuery({
  name: 'lists',
  select: ({ orm, tables: { lists } }) => orm.select({ key: lists.key }).from(lists),
  visible: isOwn,
  filters: {
    now: ({ lists }, now: Date, db) => withUnexpiredSession(db, lists, now),
    ...prefixFilters(({ lists }) => lists.key),
  },
  orderBy: [{ name: 'key', kind: 'text', column: ({ lists }) => lists.key }],
})
