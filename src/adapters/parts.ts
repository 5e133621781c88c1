import type { Messages } from '../repositories/messages/messages.ts'
import type { Message } from '../repositories/messages/types.ts'

/** Maximum number of items that one call of the storage takes. */
export const MAX_ITEMS = 1000

/** Yields parts of a list that are short enough for one call. */
export function* partsOf<T>(list: readonly T[]): Generator<T[], void> {
  for (let start = 0; start < list.length; start += MAX_ITEMS) yield list.slice(start, start + MAX_ITEMS)
}

/** Returns all messages of a session, in their order. One round trip for each 1000. */
export async function allMessages(messages: Messages, sessionId: string): Promise<Message[]> {
  const all: Message[] = []
  for (let cursor: string | undefined; ; ) {
    const { items, nextCursor } = await messages.list(sessionId, { limit: MAX_ITEMS, cursor })
    all.push(...items)
    if (nextCursor === undefined) return all
    cursor = nextCursor
  }
}
