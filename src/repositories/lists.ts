import { and, asc, eq, gte, lt, sql } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../database/db.ts'
import { ownerOfNames } from '../database/owner.ts'
import { pagedQuery } from '../database/paging/list-query.ts'
import { mapPage, type Page, type PageOptions } from '../database/paging/page.ts'
import { prefixFilters, prefixPageSchema, prefixRange } from '../database/paging/prefix-range.ts'
import { type Builder, batch, rowsStatement, statement } from '../database/statement.ts'
import type { Given, Json } from '../schema/values.ts'
import {
  checkFunction,
  invalidInput,
  keySchema,
  limitSchema,
  MAX_INTEGER,
  parseInput,
  positionSchema,
} from '../validation/input.ts'
import { jsonSchema } from '../validation/json.ts'

const itemsSchema = z.array(jsonSchema)

/** Options of `lists.keys()`. */
export interface ListListsOptions extends PageOptions {
  /** Only lists whose key begins with this text. Default: all lists. */
  prefix?: string | undefined
}

/** What the function given to `lists.update()` returns. */
export interface ListUpdate<Result, Item = Json> {
  /** The new items of the list, JSON values. */
  items: readonly Given<Item, Json, unknown>[]
  /** What `update()` returns. */
  result: Result
}

const isOwn = (db: Builder) => eq(db.tables.lists.ownerId, ownerOfNames(db))

const isList = (db: Builder, key: string) => and(isOwn(db), eq(db.tables.lists.key, key))

function isItemOf(db: Builder, key: string) {
  const { listItems: i } = db.tables
  return and(eq(i.ownerId, ownerOfNames(db)), eq(i.key, key))
}

/** Adds `count` to the length of a list, creating the list if needed. Locks the list until the transaction ends. */
const extendList = statement((db, arg: { key: string; count: number }) => {
  const { lists } = db.tables
  return db.orm
    .insert(lists)
    .values({ ownerId: ownerOfNames(db), key: arg.key, length: arg.count })
    .onConflictDoUpdate({
      target: [lists.ownerId, lists.key],
      set: { length: sql`${lists.length} + excluded.length` },
    })
    .returning({ length: lists.length })
})

/** position = length - fromEnd. The length already includes the new items; `fromEnd` is 1 for the last item. */
const insertItems = rowsStatement((db, rows: { key: string; fromEnd: number; value: Json }[]) => {
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

const selectLength = statement((db, arg: { key: string }) => {
  const { lists } = db.tables
  return db.orm.select({ length: lists.length }).from(lists).where(isList(db, arg.key))
})

const selectItems = statement((db, arg: { key: string; start: number; end: number }) => {
  const { listItems: i } = db.tables
  return db.orm
    .select({ value: i.value })
    .from(i)
    .where(and(isItemOf(db, arg.key), gte(i.position, arg.start), lt(i.position, arg.end)))
    .orderBy(asc(i.position))
})

/** Writes items at given positions, whether or not there are items already. */
const upsertItems = rowsStatement((db, rows: { key: string; position: number; value: Json }[]) => {
  const { listItems: i } = db.tables
  return db.orm
    .insert(i)
    .values(rows.map(({ key, position, value }) => ({ ownerId: ownerOfNames(db), key, position, value })))
    .onConflictDoUpdate({ target: [i.ownerId, i.key, i.position], set: { value: sql`excluded.value` } })
})

const deleteItemsFrom = statement((db, arg: { key: string; position: number }) => {
  const { listItems: i } = db.tables
  return db.orm.delete(i).where(and(isItemOf(db, arg.key), gte(i.position, arg.position)))
})

const setLength = statement((db, arg: { key: string; length: number }) =>
  db.orm.update(db.tables.lists).set({ length: arg.length }).where(isList(db, arg.key)),
)

const deleteList = statement((db, arg: { key: string }) => {
  const { lists } = db.tables
  return db.orm.delete(lists).where(isList(db, arg.key)).returning({ key: lists.key })
})

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

const listKeys = pagedQuery({
  name: 'lists',
  select: ({ orm, tables: { lists } }) => orm.select({ key: lists.key }).from(lists),
  visible: isOwn,
  filters: prefixFilters(({ lists }) => lists.key),
  orderBy: [{ name: 'key', kind: 'text', column: ({ lists }) => lists.key }],
})

/** Ordered lists of JSON values by key. A list without items does not exist. */
export class Lists {
  readonly #db: Db

  /** @internal */
  constructor(db: Db) {
    this.#db = db
  }

  /**
   * Appends items to the end of a list, atomically, and creates the list if needed. Returns the length afterwards. One
   * round trip. Not safe to repeat: the items would be appended twice.
   *
   * @throws {INVALID_INPUT} when the key is not valid or an item is not JSON.
   *
   * @example
   * ```ts
   * console.log(await storage.lists.append('todo', 'book', 'pack')) // 2
   * ```
   */
  async append(key: string, ...items: unknown[]): Promise<number> {
    parseInput(keySchema, key, 'key')
    const values = parseInput(itemsSchema, items, 'items')
    if (values.length === 0) return this.length(key)
    const [[extended]] = await batch(this.#db, appendCalls(key, values))
    return extended?.length ?? 0
  }

  /**
   * Returns up to `count` items (1 to 1000) from position `start`; the first item is at 0. Returns fewer items, or
   * none, if the list ends before.
   *
   * @typeParam Item The expected type of each item. It is not checked.
   * @throws {INVALID_INPUT} when the key, `start` or `count` is not valid.
   *
   * @example
   * ```ts
   * await storage.lists.append('todo', 'book', 'pack')
   * console.log(await storage.lists.range('todo', 0, 10)) // [ 'book', 'pack' ]
   * ```
   */
  range<Item = Json>(key: string, start: number, count: number): Promise<Item[]>
  async range(key: string, start: number, count: number): Promise<Json[]> {
    parseInput(keySchema, key, 'key')
    const from = parseInput(positionSchema, start, 'start')
    return this.#items(this.#db, key, from, from + parseInput(limitSchema, count, 'count'))
  }

  /**
   * Returns the number of items, 0 if there is no such list.
   *
   * @throws {INVALID_INPUT} when the key is not valid.
   *
   * @example
   * ```ts
   * await storage.lists.append('todo', 'book')
   * console.log(await storage.lists.length('todo')) // 1
   * ```
   */
  async length(key: string): Promise<number> {
    parseInput(keySchema, key, 'key')
    return (await selectLength.first(this.#db, { key }))?.length ?? 0
  }

  /**
   * Replaces the items of a list by those that `change` returns, and returns its `result`. One transaction: appends to
   * the list, its deletion and other updates wait. Items that are the same at their position are not written. `change` may
   * be async; if it throws, the list stays as it was and the call rejects with that error. Safe to repeat if `change` may be
   * applied twice.
   *
   * @typeParam Item The expected type of each item. It is not checked.
   * @typeParam Result The type of what `change` returns as `result`.
   * @throws {INVALID_INPUT} when the key is not valid or `change` returns anything but `{ items, result }`.
   *
   * @example
   * ```ts
   * await storage.lists.append('todo', 'book', 'pack')
   * const next = await storage.lists.update('todo', ([first, ...rest]) => ({ items: rest, result: first }))
   * console.log(next) // book
   * ```
   */
  update<Item = Json, Result = unknown>(
    key: string,
    change: (items: Item[]) => ListUpdate<Result, Item> | Promise<ListUpdate<Result, Item>>,
  ): Promise<Result>
  async update<R>(key: string, change: (items: Json[]) => ListUpdate<R> | Promise<ListUpdate<R>>): Promise<R> {
    parseInput(keySchema, key, 'key')
    checkFunction(change, 'change')
    return this.#db.transaction(async (tx) => {
      await extendList.all(tx, { key, count: 0 })
      const before = await this.#items(tx, key, 0, MAX_INTEGER)
      const texts = before.map((item) => JSON.stringify(item)) // `change` may change the items that it is given
      const changed = await change(before)
      if (Object(changed) !== changed)
        throw invalidInput([{ path: 'change', message: 'must return { items, result }' }])
      const { items, result } = changed
      const values = parseInput(itemsSchema, items, 'items')
      await batch(tx, values.length === 0 ? [deleteList.with({ key })] : replaceCalls(key, texts, values))
      return result
    })
  }

  /**
   * Removes a list. Returns true if it existed. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the key is not valid.
   *
   * @example
   * ```ts
   * await storage.lists.append('todo', 'book')
   * console.log(await storage.lists.delete('todo')) // true
   * ```
   */
  async delete(key: string): Promise<boolean> {
    parseInput(keySchema, key, 'key')
    return (await deleteList.first(this.#db, { key })) !== undefined
  }

  /**
   * Returns a page of the keys of all lists, in byte order.
   *
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.lists.append('todo:oslo', 'book')
   * console.log(await storage.lists.keys({ prefix: 'todo:' })) // { items: [ 'todo:oslo' ] }
   * ```
   */
  async keys(options: ListListsOptions = {}): Promise<Page<string>> {
    const { prefix, ...page } = parseInput(prefixPageSchema, options, 'options')
    return mapPage(await listKeys(this.#db, prefixRange(prefix), page, 'asc'), ({ key }) => key)
  }

  async #items(db: Db, key: string, start: number, end: number): Promise<Json[]> {
    return (await selectItems.all(db, { key, start, end: Math.min(end, MAX_INTEGER) })).map(({ value }) => value)
  }
}

/**
 * Removes the last `count` items of a list, and the list with its first item, atomically: what is left is a list. Returns the number of
 * items removed. One round trip.
 */
export async function removeLastItems(db: Db, key: string, count: number): Promise<number> {
  const [, removed] = await batch(db, [
    shortenList.with({ key, count }),
    deleteItemsBeyondEnd.with({ key }),
    deleteIfEmpty.with({ key }),
  ])
  return removed.length
}

/**
 * Returns the calls of one batch that makes `values` the items of a list. `before` is the items as JSON: those that say the same are
 * not written. The list's row stays: a delete() waits for it.
 */
function replaceCalls(key: string, before: readonly string[], values: readonly Json[]) {
  const rows = values.map((value, position) => ({ key, position, value }))
  const { length } = values
  return [
    ...(length < before.length ? [deleteItemsFrom.with({ key, position: length })] : []),
    ...(length === before.length ? [] : [setLength.with({ key, length })]),
    ...upsertItems.with(rows.filter(({ position, value }) => JSON.stringify(value) !== before[position])),
  ]
}

/** Returns the calls of one batch that appends `values`. The first one returns the new length. */
function appendCalls(key: string, values: readonly Json[]) {
  const rows = values.map((value, i) => ({ key, fromEnd: values.length - i, value }))
  return [extendList.with({ key, count: values.length }), ...insertItems.with(rows)] as const
}
