import { type SQL, sql } from 'drizzle-orm'
import type { Tables } from '../../schema/tables.ts'

/**
 * Returns the later of a session's last activity and `now`, so that an instance with a slow clock does not move a
 * session back in the list.
 */
export function laterOf(lastActiveAt: Tables['sessions']['lastActiveAt'], now: Date): SQL {
  return sql`case when ${lastActiveAt} > ${now} then ${lastActiveAt} else ${now} end`
}
