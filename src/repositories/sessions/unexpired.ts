import { and, eq, type SQL, sql } from 'drizzle-orm'
import { notExpired } from '../../database/expiry.ts'
import type { Tables } from '../../schema/tables.ts'

/** Returns the condition that a row of sessions is session `id` and has not expired. */
export function isUnexpiredSession({ sessions }: Pick<Tables, 'sessions'>, id: string, now: Date): SQL {
  return and(eq(sessions.id, id), notExpired(sessions, now)) as SQL // undefined only if no condition is given
}

/** Returns the condition that a session exists and has not expired. An expired session hides its messages as well. */
export function inUnexpiredSession(tables: Pick<Tables, 'sessions'>, sessionId: string, now: Date): SQL {
  return sql`exists (select 1 from ${tables.sessions} where ${isUnexpiredSession(tables, sessionId, now)})`
}
