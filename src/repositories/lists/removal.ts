import { and, eq, gte, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { batch, statement } from '../../database/statement.ts'
import { isItemOf, isList } from './statements.ts'

const shortenList = statement((db, arg: { key: string; count: number }) => {
  const { lists } = db.tables
  const length = sql`case when ${lists.length} > ${arg.count} then ${lists.length} - ${arg.count} else 0 end`
  return db.orm.update(lists).set({ length }).where(isList(db, arg.key))
})

const deleteItemsBeyondEnd = statement((db, arg: { key: string }) => {
  const { lists, listItems: i } = db.tables
  const end = sql`(select ${lists.length} from ${lists} where ${isList(db, arg.key)})`
  return db.orm
    .delete(i)
    .where(and(isItemOf(db, arg.key), gte(i.position, end)))
    .returning({ position: i.position })
})

const deleteIfEmpty = statement((db, arg: { key: string }) => {
  const { lists } = db.tables
  return db.orm.delete(lists).where(and(isList(db, arg.key), eq(lists.length, 0)))
})

/**
 * Removes the last `count` items of a list, and the list with its first item, atomically: what is left is a list. Returns the
 * number of items removed. One round trip.
 */
export async function removeLastItems(db: Db, key: string, count: number): Promise<number> {
  const [, removed] = await batch(db, [
    shortenList.with({ key, count }),
    deleteItemsBeyondEnd.with({ key }),
    deleteIfEmpty.with({ key }),
  ])
  return removed.length
}
