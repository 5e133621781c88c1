import type { Db } from '../../database/db.ts'
import { batchOfSession } from '../../database/decided-db.ts'
import { countFirstAsGaps, deleteFirst, type QueueKey, queuePresence } from './statements.ts'

/** Removes the first `count` items of a queue, atomically. Returns the number of items removed. One round trip. */
export async function removeFirstItems(db: Db, key: QueueKey, count: number): Promise<number> {
  const arg = { ...key, count }
  const calls = [countFirstAsGaps.with(arg), deleteFirst.with(arg)] as const
  const [, removed] = await batchOfSession(db, key, calls, queuePresence.with(key))
  return removed.length
}
