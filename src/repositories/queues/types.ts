import * as z from 'zod/mini'
import { type PageOptions, pageSchema } from '../../database/paging/page.ts'
import type { QueueItem } from '../../schema/values.ts'
import { idSchema, limitSchema, secondsSchema } from '../../validation/input.ts'
import { jsonObjectWith } from '../../validation/json.ts'

export type { QueueItem }

/** What can be pushed: an object literal, or a value of an interface, with an `id`. */
export type QueueItemInput = { id: string } | ({ id: string } & Record<string, unknown>)

/** Checks a queue item: any JSON object with an `id` of 1 to 255 bytes. */
export const queueItemSchema = jsonObjectWith<QueueItem>(z.object({ id: idSchema }))

/** Options of `queues.list()`. */
export type ListQueueOptions = PageOptions

/** A queue, as `queues.listQueues()` returns it. */
export interface QueueSummary {
  /** The session need not exist. */
  sessionId: string
  /** Whose queue it is: the owner of its session or of the scope. '' if nobody owns it. */
  ownerId: string
  queue: string
  /** The number of its items, with those that are leased. */
  length: number
}

export const listQueuesOptionsSchema = z.strictObject({
  sessionId: z.optional(idSchema),
  ownerId: z.optional(idSchema),
  ...pageSchema.shape,
})

/** Options of `queues.listQueues()`. A queue must match all of them. */
export interface ListQueuesOptions extends PageOptions {
  /** Only queues of this session. Default: all sessions. */
  sessionId?: string | undefined
  /** Only queues of this owner. Default: everybody's. In a scope, all queues have its owner. */
  ownerId?: string | undefined
}

/** Options of `queues.extend()`. */
export interface QueueLeaseOptions {
  /** How long nobody else gets the items, in seconds from now: more than 0, at most 86,400 (a day). */
  leaseSeconds: number
}

/** Options of `queues.take()`. */
export interface TakeQueueOptions extends QueueLeaseOptions {
  /** Maximum number of items: 1 to 1000. Default 1. */
  limit?: number | undefined
}

/** An item that `queues.take()` has leased. The item stays in the queue until it is acknowledged. */
export interface TakenItem<Item = QueueItem> {
  item: Item
  /** Names the item and its lease for `ack()`, `release()` and `extend()`. Opaque text. Each take gives another. */
  receipt: string
  /** Counts how often the item was taken, from 1. A greater number means that takers have failed or were too slow. */
  attempt: number
}

/** What a call did with each of its receipts. */
export interface ReceiptResult {
  /** The receipts whose items were still theirs: the call was done for them. */
  held: string[]
  /**
   * The other receipts, for which nothing was done: the item was released, acknowledged or removed before, or its lease
   * had ended and it was taken again.
   */
  lost: string[]
}

export const MAX_LEASE_SECONDS = 86_400

export const leaseOptionsSchema = z.strictObject({
  leaseSeconds: secondsSchema(MAX_LEASE_SECONDS),
}) satisfies z.ZodMiniType<QueueLeaseOptions>

export const takeOptionsSchema = z.strictObject({
  ...leaseOptionsSchema.shape,
  limit: z.optional(limitSchema),
}) satisfies z.ZodMiniType<TakeQueueOptions>
