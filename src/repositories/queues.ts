import { and, eq, exists, lte, notExists, sql } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../database/db.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import { mapPage, type Page, type PageOptions, pageSchema } from '../database/paging/page.ts'
import { batch, statement } from '../database/statement.ts'
import { StorageError } from '../errors.ts'
import type { Tables } from '../schema/tables.ts'
import type { QueueItem } from '../schema/values.ts'
import { idSchema, parseInput } from '../validation/input.ts'
import { jsonObjectWith } from '../validation/json.ts'

export type { QueueItem }

/** What can be pushed: an object literal, or a value of an interface, with an `id`. */
export type QueueItemInput = { id: string } | ({ id: string } & Record<string, unknown>)

/** Options of `queues.list()`. */
export type ListQueueOptions = PageOptions

/** Checks a queue item: any JSON object with an `id` of 1 to 255 bytes. */
export const queueItemSchema = jsonObjectWith<QueueItem>(z.object({ id: idSchema }))

interface QueueKey {
  sessionId: string
  queue: string
}

/** Takes the next position, creating the queue if needed. Locks the queue until the transaction ends. */
const takePosition = statement(({ orm, tables: { queues: q } }, arg: QueueKey) =>
  orm
    .insert(q)
    .values({ sessionId: arg.sessionId, name: arg.queue, lastPosition: 1 })
    .onConflictDoUpdate({ target: [q.sessionId, q.name], set: { lastPosition: sql`${q.lastPosition} + 1` } })
    .returning({ lastPosition: q.lastPosition, gaps: q.gaps }),
)

/** Inserts an item at the position just taken. An item with the same id that is queued already stays as it is. */
const insertItem = statement(({ orm, tables }, arg: QueueKey & { id: string; item: QueueItem }) => {
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
const countIfQueuedBefore = statement(({ orm, tables }, arg: QueueKey & { id: string }) => {
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
const countAllAsGaps = statement(({ orm, tables }, arg: QueueKey) => {
  const { lastPosition } = tables.queues
  const last = sql`case when ${lastPosition} > ${sql.raw(String(MAX_KEPT_POSITION))} then 0 else ${lastPosition} end`
  return orm.update(tables.queues).set({ lastPosition: last, gaps: last }).where(isQueue(tables, arg))
})

const deleteItems = statement(({ orm, tables }, arg: QueueKey) => {
  const { queueItems: i } = tables
  return orm.delete(i).where(isInQueue(tables, arg)).returning({ position: i.position, item: i.item })
})

const lockQueue = statement(({ orm, tables }, arg: QueueKey) =>
  orm
    .update(tables.queues)
    .set({ gaps: sql`${tables.queues.gaps}` })
    .where(isQueue(tables, arg)),
)

/** Counts the item's position as a gap, before the item is removed. Needs the lock, to see what others have removed. */
const countGap = statement(({ orm, tables }, arg: QueueKey & { id: string }) => {
  const { queues: q, queueItems: i } = tables
  const item = orm.select({ id: i.id }).from(i).where(isItem(tables, arg))
  return orm
    .update(q)
    .set({ gaps: sql`${q.gaps} + 1` })
    .where(and(isQueue(tables, arg), exists(item)))
})

const deleteItem = statement(({ orm, tables }, arg: QueueKey & { id: string }) =>
  orm.delete(tables.queueItems).where(isItem(tables, arg)).returning({ position: tables.queueItems.position }),
)

function isQueue({ queues: q }: Tables, { sessionId, queue }: QueueKey) {
  return and(eq(q.sessionId, sessionId), eq(q.name, queue))
}

function isInQueue({ queueItems: i }: Tables, { sessionId, queue }: QueueKey) {
  return and(eq(i.sessionId, sessionId), eq(i.queue, queue))
}

function isItem(tables: Tables, arg: QueueKey & { id: string }) {
  return and(isInQueue(tables, arg), eq(tables.queueItems.id, arg.id))
}

const listItems = pagedQuery({
  name: 'queues',
  select: ({ orm, tables }) => orm.select().from(tables.queueItems),
  filters: {
    sessionId: ({ queueItems }, sessionId: string) => eq(queueItems.sessionId, sessionId),
    queue: ({ queueItems }, queue: string) => eq(queueItems.queue, queue),
  },
  orderBy: [{ name: 'position', kind: 'integer', column: ({ queueItems }) => queueItems.position }],
})

/**
 * Named queues of a session, such as 'steer' and 'followUp': first in, first out. Any number of processes may push and
 * take. The session need not exist.
 */
export class Queues {
  readonly #db: Db

  /** @internal */
  constructor(db: Db) {
    this.#db = db
  }

  /**
   * Appends an item to the end of a queue, and returns its place in the queue, from 1. If an item with this id is
   * queued already, that item keeps its content and its place, so the call is safe to repeat until the item is taken.
   * One round trip.
   *
   * @throws {INVALID_INPUT} when an id or the queue's name is not valid, or the item is not JSON.
   *
   * @example
   * ```ts
   * await storage.queues.push('chat', 'steer', { id: 's1', text: 'A window seat, please.' }) // { position: 1 }
   * ```
   */
  async push(sessionId: string, queue: string, item: QueueItemInput): Promise<{ position: number }> {
    const queueKey = parseQueueKey(sessionId, queue)
    const checked = parseInput(queueItemSchema, item, 'item')
    const itemKey = { ...queueKey, id: checked.id }
    const [[taken], , [queued]] = await batch(this.#db, [
      takePosition.with(queueKey),
      insertItem.with({ ...itemKey, item: checked }),
      countIfQueuedBefore.with(itemKey),
    ])
    if (taken === undefined) throw new StorageError('DATABASE_FAILED', 'The queue gave no position')
    return { position: queued?.place ?? taken.lastPosition - taken.gaps }
  }

  /**
   * Removes all items of a queue and returns them in their order, atomically: each item is taken once, even by
   * concurrent callers. One round trip. Not safe to repeat: the items of a call whose answer is lost are gone, so take
   * them in the transaction that stores them.
   *
   * @typeParam Item The expected type of each item. It is not checked.
   * @throws {INVALID_INPUT} when the session's id or the queue's name is not valid.
   *
   * @example
   * ```ts
   * await storage.queues.push('chat', 'steer', { id: 's1', text: 'A window seat, please.' })
   * await storage.transaction(async (tx) => {
   *   const items = await tx.queues.takeAll('chat', 'steer')
   *   await tx.messages.append('chat', items.map(({ id, text }) => ({ id, role: 'user', content: String(text) })))
   * })
   * ```
   */
  takeAll<Item extends { id: string } = QueueItem>(sessionId: string, queue: string): Promise<Item[]>
  async takeAll(sessionId: string, queue: string): Promise<QueueItem[]> {
    const queueKey = parseQueueKey(sessionId, queue)
    const [, taken] = await batch(this.#db, [countAllAsGaps.with(queueKey), deleteItems.with(queueKey)])
    return taken.sort((a, b) => a.position - b.position).map(({ item }) => item)
  }

  /**
   * Returns a page of the items of a queue, in their order, without taking them.
   *
   * @typeParam Item The expected type of each item. It is not checked.
   * @throws {INVALID_INPUT} when the session's id, the queue's name or an option is not valid.
   *
   * @example
   * ```ts
   * await storage.queues.push('chat', 'steer', { id: 's1' })
   * console.log(await storage.queues.list('chat', 'steer')) // { items: [ { id: 's1' } ] }
   * ```
   */
  list<Item extends { id: string } = QueueItem>(
    sessionId: string,
    queue: string,
    options?: ListQueueOptions,
  ): Promise<Page<Item>>
  async list(sessionId: string, queue: string, options: ListQueueOptions = {}): Promise<Page<QueueItem>> {
    const queueKey = parseQueueKey(sessionId, queue)
    const page = parseInput(pageSchema, options, 'options')
    return mapPage(await listItems(this.#db, queueKey, page, 'asc'), ({ item }) => item)
  }

  /**
   * Removes one item of a queue. Returns true if it was queued. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when an id or the queue's name is not valid.
   *
   * @example
   * ```ts
   * await storage.queues.push('chat', 'steer', { id: 's1' })
   * console.log(await storage.queues.remove('chat', 'steer', 's1')) // true
   * ```
   */
  async remove(sessionId: string, queue: string, id: string): Promise<boolean> {
    const queueKey = parseQueueKey(sessionId, queue)
    parseInput(idSchema, id, 'id')
    const itemKey = { ...queueKey, id }
    const [, , removed] = await batch(this.#db, [
      lockQueue.with(queueKey),
      countGap.with(itemKey),
      deleteItem.with(itemKey),
    ])
    return removed.length > 0
  }

  /**
   * Removes all items of a queue. Returns the number removed. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the session's id or the queue's name is not valid.
   *
   * @example
   * ```ts
   * await storage.queues.push('chat', 'steer', { id: 's1' })
   * console.log(await storage.queues.clear('chat', 'steer')) // 1
   * ```
   */
  async clear(sessionId: string, queue: string): Promise<number> {
    return (await this.takeAll(sessionId, queue)).length
  }
}

function parseQueueKey(sessionId: string, queue: string): QueueKey {
  return { sessionId: parseInput(idSchema, sessionId, 'sessionId'), queue: parseInput(idSchema, queue, 'queue') }
}
