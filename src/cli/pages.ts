import type { Page } from '../index.ts'

/** The most that one call of a list returns here. */
const PAGE = 200

/** Yields the pages of a list until `count` items are there, or all. Ends with an error when the signal is aborted. */
export async function* pagesOf<Item>(
  list: (page: { limit: number; cursor: string | undefined }) => Promise<Page<Item>>,
  { count, signal }: { count: number; signal: AbortSignal },
): AsyncGenerator<Item[]> {
  let left = count
  let cursor: string | undefined
  do {
    signal.throwIfAborted()
    const page = await list({ limit: Math.min(PAGE, left), cursor })
    yield page.items
    left -= page.items.length
    cursor = page.nextCursor
  } while (cursor !== undefined && left > 0)
}
