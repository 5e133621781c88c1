import { type SQL, sql } from 'drizzle-orm'
import type { Tables } from '../../schema/tables.ts'

/** The time of an activity, and the time a second before. */
export interface Activity {
  now: Date
  recently: Date
}

/** Returns the activity at `now`. */
export function activityAt(now: Date): Activity {
  return { now, recently: new Date(now.getTime() - 1000) }
}

/**
 * Returns `now`, or a session's last activity if that is less than a second ago, or later: an instance with a slow clock
 * does not move a session back in the list. Two indexes hold the column, and PostgreSQL must update every index of a row
 * unless all indexed values stay the same.
 */
export function laterOf(lastActiveAt: Tables['sessions']['lastActiveAt'], { now, recently }: Activity): SQL {
  return sql`case when ${lastActiveAt} > ${recently} then ${lastActiveAt} else ${now} end`
}
