import type { Repositories } from '../index.ts'

const DAY_MILLIS = 86_400_000
const DAYS = 30
/** How many sessions are looked at. The newest come first, so it is the oldest days that would be missing. */
const PAGES = 10
const PAGE = 1000

/** What began on each of the last 30 days, in UTC. */
export interface SessionsByDay {
  days: {
    /** Such as `2026-01-31`. */
    day: string
    /** The sessions that were created on this day. */
    sessions: number
    /** The messages that these sessions have. */
    messages: number
  }[]
  /** False if there were too many sessions to look at all: then the oldest days lack some. */
  complete: boolean
}

/** Counts the sessions of the last 30 days by the day of their creation, and the messages that they have. */
export async function sessionsByDay(
  { sessions }: Pick<Repositories, 'sessions'>,
  now = Date.now(),
): Promise<SessionsByDay> {
  const today = Math.floor(now / DAY_MILLIS)
  const counted = Array.from({ length: DAYS }, (_, i) => {
    const day = new Date((today - DAYS + 1 + i) * DAY_MILLIS).toISOString().slice(0, 10)
    return { day, sessions: 0, messages: 0 }
  })
  let cursor: string | undefined
  for (let page = 0; page < PAGES; page++) {
    const { items, nextCursor } = await sessions.list({ orderBy: 'createdAt', limit: PAGE, cursor })
    for (const { createdAt, messageCount } of items) {
      const place = Math.floor(createdAt.getTime() / DAY_MILLIS) - today + DAYS - 1
      const day = counted[Math.min(place, DAYS - 1)] // a clock that is ahead counts as today
      if (day === undefined) return { days: counted, complete: true }
      day.sessions++
      day.messages += messageCount
    }
    if (nextCursor === undefined) return { days: counted, complete: true }
    cursor = nextCursor
  }
  return { days: counted, complete: false }
}
