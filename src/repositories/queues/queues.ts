import type { Db } from '../../database/db.ts'
import { batchOfSession } from '../../database/decided-db.ts'
import { mapPage, type Page, pageSchema } from '../../database/paging/page.ts'
import { StorageError } from '../../errors.ts'
import { idSchema, parseInput } from '../../validation/input.ts'
import type { RepositoryContext } from '../context.ts'
import { ackItems, extendItems, receiptsSchema, releaseItems, takeItems } from './leases.ts'
import {
  countAllAsGaps,
  countGap,
  countIfQueuedBefore,
  deleteItem,
  deleteItems,
  deleteQueue,
  insertItem,
  listItems,
  listQueues,
  type QueueKey,
  queuePresence,
  takePosition,
} from './statements.ts'
import {
  type ListQueueOptions,
  type ListQueuesOptions,
  leaseOptionsSchema,
  listQueuesOptionsSchema,
  type QueueItem,
  type QueueItemInput,
  type QueueLeaseOptions,
  type QueueSummary,
  queueItemSchema,
  type ReceiptResult,
  type TakenItem,
  type TakeQueueOptions,
  takeOptionsSchema,
} from './types.ts'

/**
 * Named queues of a session, such as 'steer' and 'followUp': first in, first out. Any number of processes may push and
 * take. The session need not exist. `takeAll()` removes what it returns. `take()` leases items until they are
 * acknowledged, so that an item comes back if its taker dies.
 */
export class Queues {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
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
    const [[taken], , [queued]] = await batchOfSession(this.#db, queueKey, [
      takePosition.with(queueKey),
      insertItem.with({ ...itemKey, item: checked }),
      countIfQueuedBefore.with(itemKey),
    ])
    if (taken === undefined) throw new StorageError('DATABASE_FAILED', 'The queue gave no position')
    return { position: queued?.place ?? taken.lastPosition - taken.gaps }
  }

  /**
   * Removes all items of a queue and returns them in their order, atomically: each item is taken once, even by
   * concurrent callers. Items that others have leased are removed too, and their receipts are lost. One round trip. Not
   * safe to repeat: the items of a call whose answer is lost are gone, so take them in the transaction that stores them.
   *
   * @typeParam Item The expected type of each item. It is not checked.
   * @throws {INVALID_INPUT} when the session's id or the queue's name is not valid.
   *
   * @example
   * ```ts
   * await storage.queues.push('chat', 'steer', { id: 's1', text: 'A window seat, please.' })
   * await storage.transaction(async (tx) => {
   *   for (const { id, text } of await tx.queues.takeAll('chat', 'steer'))
   *     await tx.messages.append('chat', { id, role: 'user', content: String(text) })
   * })
   * ```
   */
  takeAll<Item extends { id: string } = QueueItem>(sessionId: string, queue: string): Promise<Item[]>
  async takeAll(sessionId: string, queue: string): Promise<QueueItem[]> {
    const queueKey = parseQueueKey(sessionId, queue)
    const calls = [countAllAsGaps.with(queueKey), deleteItems.with(queueKey)] as const
    const [, taken] = await batchOfSession(this.#db, queueKey, calls, queuePresence.with(queueKey))
    return taken.sort((a, b) => a.position - b.position).map(({ item }) => item)
  }

  /**
   * Leases the first items of a queue and returns them in their order, each with a receipt. The items stay in the queue.
   * Call `ack()` when an item is done. An item that is not acknowledged within `leaseSeconds` can be taken again, in its
   * place, so every item is done at least once. The items end before the first item that is leased: no item is taken
   * while an item before it is being worked on, and one taker at a time works on a queue. Two round trips, or one if
   * there is nothing to take. After a wait of more than a tenth of `leaseSeconds`, such as for a transaction that has pushed,
   * another round trip counts the lease anew. Safe to repeat: the items of a call whose answer is lost come back after their
   * lease.
   *
   * @typeParam Item The expected type of each item. It is not checked.
   * @throws {INVALID_INPUT} when the session's id, the queue's name or an option is not valid.
   *
   * @example
   * ```ts
   * await storage.queues.push('chat', 'steer', { id: 's1', text: 'A window seat, please.' })
   * for (const { item, receipt } of await storage.queues.take('chat', 'steer', { leaseSeconds: 60 })) {
   *   await storage.messages.append('chat', { id: item.id, role: 'user', content: String(item.text) })
   *   await storage.queues.ack([receipt])
   * }
   * ```
   */
  take<Item extends { id: string } = QueueItem>(
    sessionId: string,
    queue: string,
    options: TakeQueueOptions,
  ): Promise<TakenItem<Item>[]>
  async take(sessionId: string, queue: string, options: TakeQueueOptions): Promise<TakenItem[]> {
    const queueKey = parseQueueKey(sessionId, queue)
    return takeItems(this.#db, queueKey, parseInput(takeOptionsSchema, options, 'options'), () => this.#context.now())
  }

  /**
   * Removes items that were taken, given up to 1000 receipts of any queues. Returns the receipts that were still held,
   * whose items are removed, and the receipts that were lost. A receipt is held until its item is taken again, even if
   * the lease has ended. One round trip. Safe to repeat: a receipt that was acknowledged is then among the lost.
   *
   * @throws {INVALID_INPUT} when a receipt is not valid or there are more than 1000. Nothing is removed.
   *
   * @example
   * ```ts
   * await storage.queues.push('chat', 'steer', { id: 's1' })
   * const taken = await storage.queues.take('chat', 'steer', { leaseSeconds: 60, limit: 10 })
   * const { lost } = await storage.queues.ack(taken.map(({ receipt }) => receipt))
   * console.log(lost) // []
   * ```
   */
  async ack(receipts: readonly string[]): Promise<ReceiptResult> {
    return ackItems(this.#db, parseInput(receiptsSchema, receipts, 'receipts'))
  }

  /**
   * Ends the leases of up to 1000 receipts, so that their items can be taken again at once, in their place. Returns the
   * receipts that were still held, and those that were lost. One round trip. Safe to repeat: a receipt that was released
   * is then among the lost.
   *
   * @throws {INVALID_INPUT} when a receipt is not valid or there are more than 1000. Nothing is released.
   *
   * @example
   * ```ts
   * await storage.queues.push('chat', 'steer', { id: 's1' })
   * const taken = await storage.queues.take('chat', 'steer', { leaseSeconds: 60 })
   * await storage.queues.release(taken.map(({ receipt }) => receipt))
   * ```
   */
  async release(receipts: readonly string[]): Promise<ReceiptResult> {
    return releaseItems(this.#db, parseInput(receiptsSchema, receipts, 'receipts'))
  }

  /**
   * Lets the leases of up to 1000 receipts end `leaseSeconds` from now, for work that takes longer. Returns the receipts
   * that were still held, and those that were lost. One round trip, and another after a wait as in `take()`. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when a receipt or an option is not valid or there are more than 1000 receipts.
   *
   * @example
   * ```ts
   * await storage.queues.push('chat', 'steer', { id: 's1' })
   * const taken = await storage.queues.take('chat', 'steer', { leaseSeconds: 60 })
   * await storage.queues.extend(taken.map(({ receipt }) => receipt), { leaseSeconds: 600 })
   * ```
   */
  async extend(receipts: readonly string[], options: QueueLeaseOptions): Promise<ReceiptResult> {
    const parsed = parseInput(receiptsSchema, receipts, 'receipts')
    const { leaseSeconds } = parseInput(leaseOptionsSchema, options, 'options')
    return extendItems(this.#db, parsed, leaseSeconds, () => this.#context.now())
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
    const calls = [countGap.with(itemKey), deleteItem.with(itemKey)] as const
    const [, removed] = await batchOfSession(this.#db, queueKey, calls, queuePresence.with(queueKey))
    return removed.length > 0
  }

  /**
   * Removes all items of a queue. Returns the number removed. The positions of the queue go on, so a walk over its pages
   * goes on to items that are pushed later. Safe to repeat.
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

  /**
   * Returns a page of the queues that match all given filters, in the order of their sessions' ids and their names. A queue
   * exists from its first `push()` until it or its session is deleted, even if it is empty or its session never existed.
   *
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.queues.push('chat', 'steer', { id: 's1' })
   * const { items } = await storage.queues.listQueues({ sessionId: 'chat' })
   * console.log(items) // [ { sessionId: 'chat', ownerId: '', queue: 'steer', length: 1 } ]
   * ```
   */
  async listQueues(options: ListQueuesOptions = {}): Promise<Page<QueueSummary>> {
    const { sessionId, ownerId, ...page } = parseInput(listQueuesOptionsSchema, options, 'options')
    return listQueues(this.#db, { sessionId, ownerId }, page, 'asc')
  }

  /**
   * Removes a queue with its items. Returns true if the queue existed. Receipts of its items are lost. Unlike `clear()`, it
   * leaves nothing: the next `push()` makes another queue, whose positions start from 1, so a walk over the pages of the
   * deleted queue may pass over items of the new one. Call `clear()` if the queue is still in use. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the session's id or the queue's name is not valid.
   *
   * @example
   * ```ts
   * await storage.queues.push('chat', 'steer', { id: 's1' })
   * console.log(await storage.queues.delete('chat', 'steer')) // true
   * ```
   */
  async delete(sessionId: string, queue: string): Promise<boolean> {
    return (await deleteQueue.first(this.#db, parseQueueKey(sessionId, queue))) !== undefined
  }
}

function parseQueueKey(sessionId: string, queue: string): QueueKey {
  return { sessionId: parseInput(idSchema, sessionId, 'sessionId'), queue: parseInput(idSchema, queue, 'queue') }
}
