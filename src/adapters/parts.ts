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

/** Returns all items of a list. One round trip for each 1000. */
export async function allPages<T>(list: (page: { limit: number; cursor?: string }) => Promise<Page<T>>): Promise<T[]> {
  const all: T[] = []
  for (let cursor: string | undefined; ; ) {
    const { items, nextCursor } = await list({ limit: MAX_ITEMS, ...(cursor !== undefined && { cursor }) })
    all.push(...items)
    if (nextCursor === undefined) return all
    cursor = nextCursor
  }
}

/** Returns all messages of a session, in their order. One round trip for each 1000. */
export function allMessages(messages: Messages, sessionId: string): Promise<Message[]> {
  return allPages((page) => messages.list(sessionId, page))
}
