import { and, eq, exists, lte, notExists, sql } from 'drizzle-orm'
import { pagedQuery } from '../../database/paging/list-query.ts'
import { statement } from '../../database/statement.ts'
import type { Tables } from '../../schema/tables.ts'
import type { QueueItem } from '../../schema/values.ts'

/** Names a queue. */
export interface QueueKey {
  sessionId: string
  queue: string
}

/** Takes the next position, creating the queue if needed. Locks the queue until the transaction ends. */
export const takePosition = statement(({ orm, tables: { queues: q } }, arg: QueueKey) =>
  orm
    .insert(q)
    .values({ sessionId: arg.sessionId, name: arg.queue, lastPosition: 1 })
    .onConflictDoUpdate({ target: [q.sessionId, q.name], set: { lastPosition: sql`${q.lastPosition} + 1` } })
    .returning({ lastPosition: q.lastPosition, gaps: q.gaps }),
)

/** Inserts an item at the position just taken. An item with the same id that is queued already stays as it is. */
export const insertItem = statement(({ orm, tables }, arg: QueueKey & { id: string; item: QueueItem }) => {
  const { queues: q, queueItems: i } = tables
  return (
    orm
      .insert(i)
      .values({
        sessionId: arg.sessionId,
        queue: arg.queue,
        position: sql`(select ${q.lastPosition} from ${q} where ${isQueue(tables, arg)})`,
        id: arg.id,
        item: arg.item,
      })
      // Changes nothing, but locks the queued item: another transaction may be about to remove it.
      .onConflictDoUpdate({ target: [i.sessionId, i.queue, i.id], set: { id: sql`excluded.id` } })
  )
})

/**
 * Counts the position just taken as a gap if the item was queued already, and then returns the item's place: the number of
 * items up to it. A new item's place is known without a count.
 */
export const countIfQueuedBefore = statement(({ orm, tables }, arg: QueueKey & { id: string }) => {
  const { queues: q, queueItems: i } = tables
  const isOfQueue = isInQueue(tables, arg)
  const newest = orm
    .select({ id: i.id })
    .from(i)
    .where(and(isOfQueue, eq(i.position, q.lastPosition)))
  const itsPosition = sql`(select ${i.position} from ${i} where ${and(isOfQueue, eq(i.id, arg.id))})`
  return orm
    .update(q)
    .set({ gaps: sql`${q.gaps} + 1` })
    .where(and(isQueue(tables, arg), notExists(newest)))
    .returning({
      place: sql`(select count(*) from ${i} where ${and(isOfQueue, lte(i.position, itsPosition))})`.mapWith(Number),
    })
})

/** The greatest position that an emptied queue continues from. It leaves room, as positions have 32 bits. */
const MAX_KEPT_POSITION = 2 ** 30

/**
 * Locks the queue and counts all its positions as gaps, before all its items are removed. The positions go on from there: a
 * walk over the pages of the queue would pass over items whose positions start from 1 again.
 */
export const countAllAsGaps = statement(({ orm, tables }, arg: QueueKey) => {
  const { lastPosition } = tables.queues
  const last = sql`case when ${lastPosition} > ${sql.raw(String(MAX_KEPT_POSITION))} then 0 else ${lastPosition} end`
  return orm.update(tables.queues).set({ lastPosition: last, gaps: last }).where(isQueue(tables, arg))
})

export const deleteItems = statement(({ orm, tables }, arg: QueueKey) => {
  const { queueItems: i } = tables
  return orm.delete(i).where(isInQueue(tables, arg)).returning({ position: i.position, item: i.item })
})

export const lockQueue = statement(({ orm, tables }, arg: QueueKey) =>
  orm
    .update(tables.queues)
    .set({ gaps: sql`${tables.queues.gaps}` })
    .where(isQueue(tables, arg)),
)

/** Counts the item's position as a gap, before the item is removed. Needs the lock, to see what others have removed. */
export const countGap = statement(({ orm, tables }, arg: QueueKey & { id: string }) => {
  const { queues: q, queueItems: i } = tables
  const item = orm.select({ id: i.id }).from(i).where(isItem(tables, arg))
  return orm
    .update(q)
    .set({ gaps: sql`${q.gaps} + 1` })
    .where(and(isQueue(tables, arg), exists(item)))
})

export const deleteItem = statement(({ orm, tables }, arg: QueueKey & { id: string }) =>
  orm.delete(tables.queueItems).where(isItem(tables, arg)).returning({ position: tables.queueItems.position }),
)

export function isQueue({ queues: q }: Tables, { sessionId, queue }: QueueKey) {
  return and(eq(q.sessionId, sessionId), eq(q.name, queue))
}

export function isInQueue({ queueItems: i }: Tables, { sessionId, queue }: QueueKey) {
  return and(eq(i.sessionId, sessionId), eq(i.queue, queue))
}

function isItem(tables: Tables, arg: QueueKey & { id: string }) {
  return and(isInQueue(tables, arg), eq(tables.queueItems.id, arg.id))
}

export const listItems = pagedQuery({
  name: 'queues',
  select: ({ orm, tables }) => orm.select().from(tables.queueItems),
  filters: {
    sessionId: ({ queueItems }, sessionId: string) => eq(queueItems.sessionId, sessionId),
    queue: ({ queueItems }, queue: string) => eq(queueItems.queue, queue),
  },
  orderBy: [{ name: 'position', kind: 'integer', column: ({ queueItems }) => queueItems.position }],
})
