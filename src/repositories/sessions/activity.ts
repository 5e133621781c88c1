import { type SQL, sql } from 'drizzle-orm'
import type { Tables } from '../../schema/tables.ts'

/** The later of a session's last activity and `now`: an instance with a slow clock does not move a session backwards. */
export function laterOf(lastActiveAt: Tables['sessions']['lastActiveAt'], now: Date): SQL {
  return sql`case when ${lastActiveAt} > ${now} then ${lastActiveAt} else ${now} end`
}
