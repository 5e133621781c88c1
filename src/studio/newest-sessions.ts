import type { Repositories, SessionSummary } from '../index.ts'

const PAGES = 10
const PAGE = 1000

/**
 * Shows up to 10,000 sessions to `look`, the newest first, until `look` returns false. Returns false if there were more: then
 * the oldest ones have not been looked at.
 */
export async function lookAtNewest(
  { sessions }: Pick<Repositories, 'sessions'>,
  ownerId: string | undefined,
  look: (session: SessionSummary) => boolean,
): Promise<boolean> {
  let cursor: string | undefined
  for (let page = 0; page < PAGES; page++) {
    const { items, nextCursor } = await sessions.list({ orderBy: 'createdAt', ownerId, limit: PAGE, cursor })
    if (!items.every(look) || nextCursor === undefined) return true
    cursor = nextCursor
  }
  return false
}
