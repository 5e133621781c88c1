import type { Db } from '../../database/db.ts'
import { mapPage, type Page, type PageOptions } from '../../database/paging/page.ts'
import { prefixPageSchema, prefixRange } from '../../database/paging/prefix-range.ts'
import type { Json } from '../../schema/values.ts'
import { idSchema, keySchema, limitSchema, MAX_INTEGER, parseInput, positionSchema } from '../../validation/input.ts'
import type { RepositoryContext } from '../context.ts'
import { SessionLists } from './session-lists.ts'
import { deleteList, listKeys, selectItems, selectLength } from './statements.ts'
import type { ListChange } from './types.ts'
import { ListWriter } from './writer.ts'

/** Options of `lists.keys()`. */
export interface ListListsOptions extends PageOptions {
  /** Only lists whose key begins with this text. Default: all lists. */
  prefix?: string | undefined
}

/** Ordered lists of JSON values by key. A list without items does not exist. */
export class Lists {
  readonly #db: Db
  readonly #context: RepositoryContext
  readonly #writer: ListWriter

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
    this.#writer = new ListWriter(db, context)
  }

  /**
   * Returns the calls that write lists of a session: such a list is gone, with its items, as soon as the session is deleted
   * or has expired. All lists have their keys in common, so every other call finds such a list by its key.
   *
   * @throws {INVALID_INPUT} when the id is not valid.
   *
   * @example
   * ```ts
   * await storage.sessions.create({ id: 'chat' })
   * await storage.lists.ofSession('chat').append('todo', 'book', 'pack')
   * await storage.sessions.delete('chat')
   * console.log(await storage.lists.length('todo')) // 0
   * ```
   */
  ofSession(sessionId: string): SessionLists {
    return new SessionLists(this.#db, this.#context, parseInput(idSchema, sessionId, 'sessionId'))
  }

  /**
   * Appends items to the end of a list, atomically, and creates the list if needed. A list goes on with its session, if it
   * has one. Returns the length afterwards. One round trip. Not safe to repeat: the items would be appended twice.
   *
   * @throws {INVALID_INPUT} when the key is not valid or an item is not JSON.
   *
   * @example
   * ```ts
   * console.log(await storage.lists.append('todo', 'book', 'pack')) // 2
   * ```
   */
  async append(key: string, ...items: unknown[]): Promise<number> {
    return this.#writer.append(key, items)
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
    const end = Math.min(from + parseInput(limitSchema, count, 'count'), MAX_INTEGER)
    const items = await selectItems.all(this.#db, { key, start: from, end, now: this.#context.now() })
    return items.map(({ value }) => value)
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
    return (await selectLength.first(this.#db, { key, now: this.#context.now() }))?.length ?? 0
  }

  /**
   * Replaces the items of a list by those that `change` returns, and returns its `result`. One transaction: appends to
   * the list, its deletion and other updates wait. Items that are the same at their position are not written. `change` may
   * be async; if it throws, the list stays as it was and the call rejects with that error. A list goes on with its session;
   * without items it is gone. Safe to repeat if `change` may be applied twice. PostgreSQL may roll the transaction back in
   * favour of another (a deadlock): then `change` is called again.
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
  update<Item = Json, Result = unknown>(key: string, change: ListChange<Result, Item>): Promise<Result>
  async update<R>(key: string, change: ListChange<R>): Promise<R> {
    return this.#writer.update(key, change)
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
    return (await deleteList.first(this.#db, { key, now: this.#context.now() })) !== undefined
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
    const filters = { now: this.#context.now(), ...prefixRange(prefix) }
    return mapPage(await listKeys(this.#db, filters, page, 'asc'), ({ key }) => key)
  }
}
