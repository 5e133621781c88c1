import { and, eq, type SQL, sql } from 'drizzle-orm'
import { notExpired } from '../../database/expiry.ts'
import type { Tables } from '../../schema/tables.ts'

/** Returns the condition that a session exists and has not expired. An expired session hides its messages as well. */
export function inUnexpiredSession({ sessions }: Pick<Tables, 'sessions'>, sessionId: string, now: Date): SQL {
  return sql`exists (select 1 from ${sessions} where ${and(eq(sessions.id, sessionId), notExpired(sessions, now))})`
}
