import type { Messages } from '../repositories/messages/messages.ts'
import type { Message } from '../repositories/messages/types.ts'

interface Page<T> {
  items: T[]
  nextCursor?: string
}

/** Maximum number of items that one call of the storage takes. */
export const MAX_ITEMS = 1000

/** Yields parts of a list that are short enough for one call. */
export function* partsOf<T>(list: readonly T[]): Generator<T[], void> {
  for (let start = 0; start < list.length; start += MAX_ITEMS) yield list.slice(start, start + MAX_ITEMS)
}

/** Returns the items of a list, or the first `most` of them. One round trip for each 1000. */
export async function itemsOf<T>(
  list: (page: { limit: number; cursor?: string }) => Promise<Page<T>>,
  most = Number.POSITIVE_INFINITY,
): Promise<T[]> {
  const all: T[] = []
  let cursor: string | undefined
  while (all.length < most) {
    const limit = Math.min(most - all.length, MAX_ITEMS)
    const { items, nextCursor } = await list({ limit, ...(cursor !== undefined && { cursor }) })
    all.push(...items)
    if (nextCursor === undefined) break
    cursor = nextCursor
  }
  return all
}

/** Returns all messages of a session, in their order. One round trip for each 1000. */
export function allMessages(messages: Messages, sessionId: string): Promise<Message[]> {
  return itemsOf((page) => messages.list(sessionId, page))
}
