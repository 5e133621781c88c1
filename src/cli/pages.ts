import type { Page } from '../index.ts'
import { UsageError } from './exit-codes.ts'
import type { Given } from './given.ts'

/** The most that one call of a list returns here. */
const PAGE = 200

/** Returns how many items of a list are wanted: 20, `--limit`, or `--all`. */
export function wantedCount(given: Given): number {
  if (!given.flag('all')) return given.count('limit', 20)
  if (given.text('limit') !== undefined) throw new UsageError('give --limit or --all, not both')
  return Number.POSITIVE_INFINITY
}

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
