import { and, eq, type SQL, sql } from 'drizzle-orm'
import { notExpired } from '../../database/expiry.ts'
import type { Tables } from '../../schema/tables.ts'

/** The condition that a session exists and has not expired. The messages of an expired session are absent as well. */
export function inLivingSession({ sessions }: Pick<Tables, 'sessions'>, sessionId: string, now: Date): SQL {
  return sql`exists (select 1 from ${sessions} where ${and(eq(sessions.id, sessionId), notExpired(sessions, now))})`
}
