import type { Repositories } from '../index.ts'
import { lookAtNewest } from './newest-sessions.ts'

const DAY_MILLIS = 86_400_000
const DAYS = 30

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
  repositories: Pick<Repositories, 'sessions'>,
  now = Date.now(),
): Promise<SessionsByDay> {
  const today = Math.floor(now / DAY_MILLIS)
  const counted = Array.from({ length: DAYS }, (_, i) => {
    const day = new Date((today - DAYS + 1 + i) * DAY_MILLIS).toISOString().slice(0, 10)
    return { day, sessions: 0, messages: 0 }
  })
  const complete = await lookAtNewest(repositories, undefined, ({ createdAt, messageCount }) => {
    const place = Math.floor(createdAt.getTime() / DAY_MILLIS) - today + DAYS - 1
    const day = counted[Math.min(place, DAYS - 1)] // a clock that is ahead counts as today
    if (day === undefined) return false
    day.sessions++
    day.messages += messageCount
    return true
  })
  return { days: counted, complete }
}
