import type { Db } from '../../database/db.ts'
import type { Json } from '../../schema/values.ts'
import type { RepositoryContext } from '../context.ts'
import type { ListChange } from './types.ts'
import { ListWriter } from './writer.ts'

/**
 * The calls that write lists of a session: see `lists.ofSession()`. A list that they write goes with this session from then
 * on.
 */
export class SessionLists {
  readonly #writer: ListWriter

  /** @internal */
  constructor(db: Db, context: RepositoryContext, sessionId: string) {
    this.#writer = new ListWriter(db, context, sessionId)
  }

  /**
   * Does what `lists.append()` does, and lets the list go with the session. Returns the length afterwards. One transaction,
   * which holds the session. Not safe to repeat: the items would be appended twice.
   *
   * @throws {NOT_FOUND} when the owner has no such session.
   * @throws {INVALID_INPUT} when the key is not valid or an item is not JSON.
   *
   * @example
   * ```ts
   * await storage.sessions.create({ id: 'chat' })
   * console.log(await storage.lists.ofSession('chat').append('todo', 'book', 'pack')) // 2
   * ```
   */
  async append(key: string, ...items: unknown[]): Promise<number> {
    return this.#writer.append(key, items)
  }

  /**
   * Does what `lists.update()` does, and lets the list go with the session, unless it has no items afterwards: then there is
   * no list. Safe to repeat if `change` may be applied twice. PostgreSQL may roll the transaction back in favour of another
   * (a deadlock): then `change` is called again.
   *
   * @typeParam Item The expected type of each item. It is not checked.
   * @typeParam Result The type of what `change` returns as `result`.
   * @throws {NOT_FOUND} when the owner has no such session.
   * @throws {INVALID_INPUT} when the key is not valid or `change` returns anything but `{ items, result }`.
   *
   * @example
   * ```ts
   * await storage.sessions.create({ id: 'chat' })
   * const lists = storage.lists.ofSession('chat')
   * console.log(await lists.update('todo', (items) => ({ items: [...items, 'book'], result: items.length }))) // 0
   * ```
   */
  update<Item = Json, Result = unknown>(key: string, change: ListChange<Result, Item>): Promise<Result>
  async update<R>(key: string, change: ListChange<R>): Promise<R> {
    return this.#writer.update(key, change)
  }
}
