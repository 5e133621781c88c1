import { and, eq, lte, sql } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../database/db.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import { type Page, type PageOptions, pageSchema } from '../database/paging/page.ts'
import { batch, statement } from '../database/statement.ts'
import type { Tables } from '../schema/tables.ts'
import type { JsonObject, QueueItem } from '../schema/values.ts'
import { idSchema, parseInput } from '../validation/input.ts'
import { jsonObjectSchema } from '../validation/json.ts'

export type { QueueItem }

/** What can be pushed: any JSON object with an `id` of 1 to 255 bytes. */
export const queueItemSchema = jsonObjectSchema.pipe(
  z.custom<QueueItem>().superRefine((item: JsonObject, context) => {
    const { error } = idSchema.safeParse(item.id)
    for (const { message } of error?.issues ?? []) context.addIssue({ code: 'custom', path: ['id'], message })
  }),
)

interface Queue {
  sessionId: string
  queue: string
}

/** Takes the next position and locks the queue, which it creates if need be. */
const extendQueue = statement(({ orm, tables: { queues: q } }, arg: Queue) =>
  orm
    .insert(q)
    .values({ sessionId: arg.sessionId, name: arg.queue, lastPosition: 1 })
    .onConflictDoUpdate({ target: [q.sessionId, q.name], set: { lastPosition: sql`${q.lastPosition} + 1` } }),
)

/** Puts the item there; where its id is queued already, that one stays where it is. */
const insertItem = statement(({ orm, tables }, arg: Queue & { id: string; item: QueueItem }) => {
  const { queues: q, queueItems: i } = tables
  return (
    orm
      .insert(i)
      .values({
        sessionId: arg.sessionId,
        queue: arg.queue,
        position: sql`(select ${q.lastPosition} from ${q} where ${theQueue(tables, arg)})`,
        id: arg.id,
        item: arg.item,
      })
      // It changes nothing, but holds that one: it may be about to be removed.
      .onConflictDoUpdate({ target: [i.sessionId, i.queue, i.id], set: { id: sql`excluded.id` } })
  )
})

/** How many items are taken before another one would be, with this one. */
const countThrough = statement(({ orm, tables: { queueItems: i } }, arg: Queue & { id: string }) => {
  const of = and(eq(i.sessionId, arg.sessionId), eq(i.queue, arg.queue))
  const own = sql`(select ${i.position} from ${i} where ${and(of, eq(i.id, arg.id))})`
  return orm
    .select({ position: sql`count(*)`.mapWith(Number) })
    .from(i)
    .where(and(of, lte(i.position, own)))
})

/** Locks the queue, whose items are about to go: positions begin anew. */
const rewindQueue = statement(({ orm, tables }, arg: Queue) =>
  orm.update(tables.queues).set({ lastPosition: 0 }).where(theQueue(tables, arg)),
)

const deleteItems = statement(({ orm, tables: { queueItems: i } }, arg: Queue) =>
  orm
    .delete(i)
    .where(and(eq(i.sessionId, arg.sessionId), eq(i.queue, arg.queue)))
    .returning({ position: i.position, item: i.item }),
)

const deleteItem = statement(({ orm, tables: { queueItems: i } }, arg: Queue & { id: string }) =>
  orm
    .delete(i)
    .where(and(eq(i.sessionId, arg.sessionId), eq(i.queue, arg.queue), eq(i.id, arg.id)))
    .returning({ position: i.position }),
)

function theQueue({ queues: q }: Tables, { sessionId, queue }: Queue) {
  return and(eq(q.sessionId, sessionId), eq(q.name, queue))
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
 * Named queues of a session, such as 'steer' and 'followUp': first in, first out, from any number of writers to any
 * number of takers. The session need not exist yet.
 */
export class Queues {
  readonly #db: Db

  /** @internal */
  constructor(db: Db) {
    this.#db = db
  }

  /**
   * Puts an item at the end; its place in the queue, from 1. An item whose id is queued already stays as and where it
   * is, so a repeat is safe until the item is taken. One round trip. Errors: INVALID_INPUT.
   */
  async push(
    sessionId: string,
    queue: string,
    item: { id: string } | ({ id: string } & Record<string, unknown>),
  ): Promise<{ position: number }> {
    const name = parseQueue(sessionId, queue)
    const checked = parseInput(queueItemSchema, item, 'item')
    const own = { ...name, id: checked.id }
    const calls = [extendQueue.with(name), insertItem.with({ ...own, item: checked }), countThrough.with(own)] as const
    const [, , [place]] = await batch(this.#db, calls)
    return place as { position: number } // a count has one row
  }

  /**
   * Removes all items and returns them in their order, atomically: whoever takes at the same time, each item is taken
   * once. One round trip. Not safe to repeat: what was taken is gone.
   */
  async takeAll(sessionId: string, queue: string): Promise<QueueItem[]> {
    const name = parseQueue(sessionId, queue)
    const [, taken] = await batch(this.#db, [rewindQueue.with(name), deleteItems.with(name)])
    return taken.sort((a, b) => a.position - b.position).map(({ item }) => item)
  }

  /** Items in their order, without taking them. */
  async list(sessionId: string, queue: string, options: PageOptions = {}): Promise<Page<QueueItem>> {
    const name = parseQueue(sessionId, queue)
    const { items, ...rest } = await listItems(this.#db, name, parseInput(pageSchema, options, 'options'), 'asc')
    return { items: items.map(({ item }) => item), ...rest }
  }

  /** Whether the item was there. Safe to repeat. */
  async remove(sessionId: string, queue: string, id: string): Promise<boolean> {
    const name = parseQueue(sessionId, queue)
    parseInput(idSchema, id, 'id')
    return (await deleteItem.first(this.#db, { ...name, id })) !== undefined
  }

  /** Removes all items; how many. Safe to repeat. */
  async clear(sessionId: string, queue: string): Promise<number> {
    return (await this.takeAll(sessionId, queue)).length
  }
}

function parseQueue(sessionId: string, queue: string): Queue {
  return { sessionId: parseInput(idSchema, sessionId, 'sessionId'), queue: parseInput(idSchema, queue, 'queue') }
}
