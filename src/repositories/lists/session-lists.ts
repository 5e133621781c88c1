import type { Db } from '../../database/db.ts'
import type { Json } from '../../schema/values.ts'
import type { RepositoryContext } from '../context.ts'
import type { ListChange } from './types.ts'
import { ListWriter } from './writer.ts'

/**
 * The calls that write lists of a session: see `lists.ofSession()`. Such a list is gone as soon as the session is deleted or has
 * expired.
 */
export class SessionLists {
  readonly #writer: ListWriter

  /** @internal */
  constructor(db: Db, context: RepositoryContext, sessionId: string) {
    this.#writer = new ListWriter(db, context, sessionId)
  }

  /**
   * Appends items like `lists.append()`, and makes the list belong to the session. Returns the length afterwards. One
   * transaction, which locks the session. Without items only the length is read. Not safe to repeat: the items would be appended
   * twice.
   *
   * @throws {NOT_FOUND} when there is no such session.
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
   * Changes a list like `lists.update()`, and makes it belong to the session. A list without items does not exist afterwards.
   * Safe to repeat if `change` may be applied twice. If PostgreSQL rolls the transaction back because of a deadlock, `change` is
   * called again.
   *
   * @typeParam Item The expected type of each item. It is not checked.
   * @typeParam Result The type of what `change` returns as `result`.
   * @throws {NOT_FOUND} when there is no such session.
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
