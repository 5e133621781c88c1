import { and, eq, exists, lte, notExists, type SQL, sql } from 'drizzle-orm'
import { noteOwnerOf } from '../../database/decided-db.ts'
import { isVisible, ofOwner, ownerOfSession } from '../../database/owner.ts'
import { pagedQuery } from '../../database/paging/list-query.ts'
import { type Builder, statement } from '../../database/statement.ts'
import type { QueueItem } from '../../schema/values.ts'

/** Names a queue. A handle without an owner finds the queue of the session's owner. */
export interface QueueKey {
  sessionId: string
  queue: string
}

/** Takes the next position, creating the queue if needed. Locks the queue until the transaction ends. */
export const takePosition = statement((db: Builder, arg: QueueKey) => {
  const { queues: q } = db.tables
  const { sessionId, queue: name } = arg
  return db.orm
    .insert(q)
    .values({ sessionId, ownerId: ownerOfSession(db, sessionId), name, lastPosition: 1 })
    .onConflictDoUpdate({
      target: [q.sessionId, q.ownerId, q.name],
      set: { lastPosition: sql`${q.lastPosition} + 1` },
    })
    .returning({ lastPosition: q.lastPosition, gaps: q.gaps })
})

/** Inserts an item at the position just taken. An item with the same id that is queued already stays as it is. */
export const insertItem = statement((db: Builder, arg: QueueKey & { id: string; item: QueueItem }) => {
  const { queues: q, queueItems: i } = db.tables
  const { sessionId, queue, id, item } = arg
  const position = sql`(select ${q.lastPosition} from ${q} where ${isQueue(db, arg)})`
  return (
    db.orm
      .insert(i)
      .values({ sessionId, ownerId: ownerOfSession(db, sessionId), queue, position, id, item })
      // Changes nothing, but locks the queued item: another transaction may be about to remove it.
      .onConflictDoUpdate({ target: [i.sessionId, i.ownerId, i.queue, i.id], set: { id: sql`excluded.id` } })
  )
})

/**
 * Counts the position just taken as a gap if the item was queued already, and then returns the item's place: the number of
 * items up to it. A new item's place is known without a count.
 */
export const countIfQueuedBefore = statement((db: Builder, arg: QueueKey & { id: string }) => {
  const { queues: q, queueItems: i } = db.tables
  const isOfQueue = and(eq(i.sessionId, arg.sessionId), eq(i.ownerId, q.ownerId), eq(i.queue, arg.queue))
  const newest = db.orm
    .select({ id: i.id })
    .from(i)
    .where(and(isOfQueue, eq(i.position, q.lastPosition)))
  const itsPosition = sql`(select ${i.position} from ${i} where ${and(isOfQueue, eq(i.id, arg.id))})`
  return db.orm
    .update(q)
    .set({ gaps: sql`${q.gaps} + 1` })
    .where(and(isQueue(db, arg), notExists(newest)))
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
export const countAllAsGaps = statement((db: Builder, arg: QueueKey) => {
  const { queues: q } = db.tables
  const isTooGreat = sql`${q.lastPosition} > ${sql.raw(String(MAX_KEPT_POSITION))}`
  const last = sql`case when ${isTooGreat} then 0 else ${q.lastPosition} end`
  return db.orm.update(q).set({ lastPosition: last, gaps: last }).where(isQueue(db, arg))
})

export const deleteItems = statement((db: Builder, arg: QueueKey) => {
  const { queueItems: i } = db.tables
  return db.orm.delete(i).where(isInQueue(db, arg)).returning({ position: i.position, item: i.item })
})

/** Removes a queue. Its foreign key removes the items. */
export const deleteQueue = statement((db: Builder, arg: QueueKey) => {
  const { queues: q } = db.tables
  return db.orm.delete(q).where(isQueue(db, arg)).returning({ name: q.name })
})

/** Makes the query of the first positions of a queue. Needs the lock, to see what others have removed. */
function firstPositions(db: Builder, arg: QueueKey & { count: number }) {
  const { queueItems: i } = db.tables
  // SQLite prepares a statement anew for each value of a bare parameter in LIMIT.
  const limit = sql`cast(${arg.count} as integer)`
  return sql`(select ${i.position} from ${i} where ${isInQueue(db, arg)} order by ${i.position} limit ${limit})`
}

/** Counts the positions of the first items as gaps, before the items are removed. Needs the lock. */
export const countFirstAsGaps = statement((db: Builder, arg: QueueKey & { count: number }) => {
  const { queues: q } = db.tables
  return db.orm
    .update(q)
    .set({ gaps: sql`${q.gaps} + (select count(*) from ${firstPositions(db, arg)} first)` })
    .where(isQueue(db, arg))
})

/** Deletes the first items. Needs the lock. */
export const deleteFirst = statement((db: Builder, arg: QueueKey & { count: number }) => {
  const { queueItems: i } = db.tables
  return db.orm
    .delete(i)
    .where(and(isInQueue(db, arg), sql`${i.position} in ${firstPositions(db, arg)}`))
    .returning({ position: i.position })
})

/** Locks the queue, and lets the rest of a batch find nothing if there is none. See `batchOfSession`. */
export const queuePresence = statement((db: Builder, arg: QueueKey) =>
  noteOwnerOf(db, db.tables.queues, isQueue(db, arg)),
)

export const lockQueue = statement((db: Builder, arg: QueueKey) => {
  const { queues: q } = db.tables
  return db.orm
    .update(q)
    .set({ gaps: sql`${q.gaps}` })
    .where(isQueue(db, arg))
})

/** Counts the item's position as a gap, before the item is removed. Needs the lock, to see what others have removed. */
export const countGap = statement((db: Builder, arg: QueueKey & { id: string }) => {
  const { queues: q, queueItems: i } = db.tables
  const item = db.orm.select({ id: i.id }).from(i).where(isItem(db, arg))
  return db.orm
    .update(q)
    .set({ gaps: sql`${q.gaps} + 1` })
    .where(and(isQueue(db, arg), exists(item)))
})

export const deleteItem = statement((db: Builder, arg: QueueKey & { id: string }) => {
  const { queueItems: i } = db.tables
  return db.orm.delete(i).where(isItem(db, arg)).returning({ position: i.position })
})

export function isQueue(db: Builder, { sessionId, queue }: QueueKey): SQL | undefined {
  const { queues: q } = db.tables
  return and(eq(q.sessionId, sessionId), eq(q.ownerId, ownerOfSession(db, sessionId)), eq(q.name, queue))
}

export function isInQueue(db: Builder, { sessionId, queue }: QueueKey): SQL | undefined {
  return and(isOfSession(db, sessionId), eq(db.tables.queueItems.queue, queue))
}

function isItem(db: Builder, arg: QueueKey & { id: string }): SQL | undefined {
  return and(isInQueue(db, arg), eq(db.tables.queueItems.id, arg.id))
}

function isOfSession(db: Builder, sessionId: string): SQL {
  const { queueItems: i } = db.tables
  // Undefined only if no condition is given.
  return and(eq(i.sessionId, sessionId), eq(i.ownerId, ownerOfSession(db, sessionId))) as SQL
}

export const listItems = pagedQuery({
  name: 'queues',
  select: ({ orm, tables: { queueItems: i } }) => orm.select({ position: i.position, item: i.item }).from(i),
  visible: () => undefined, // the filter by session has the owner
  filters: {
    sessionId: (_, sessionId: string, db) => isOfSession(db, sessionId),
    queue: ({ queueItems }, queue: string) => eq(queueItems.queue, queue),
  },
  orderBy: [{ name: 'position', kind: 'integer', column: ({ queueItems }) => queueItems.position }],
})

export const listQueues = pagedQuery({
  name: 'queues of sessions',
  select({ orm, tables: { queues: q } }) {
    const length = sql`${q.lastPosition} - ${q.gaps}`.mapWith(Number)
    return orm.select({ sessionId: q.sessionId, ownerId: q.ownerId, queue: q.name, length }).from(q)
  },
  visible: (db) => isVisible(db, db.tables.queues),
  filters: {
    sessionId: ({ queues }, sessionId: string) => eq(queues.sessionId, sessionId),
    ownerId: ({ queues }, ownerId: string) => ofOwner(queues, ownerId),
  },
  orderBy: [
    { name: 'sessionId', kind: 'text', column: ({ queues }) => queues.sessionId },
    { name: 'ownerId', kind: 'text', column: ({ queues }) => queues.ownerId },
    { name: 'queue', kind: 'text', column: ({ queues }) => queues.name },
  ],
})
