import { and, eq, gt, isNull, or, type SQL, sql } from 'drizzle-orm'
import type { Tables } from '../schema/tables.ts'

type Expiring = Pick<Tables['sessions'], 'expiresAt'> | Pick<Tables['kv'], 'expiresAt'>

/** Whether a row is still there as far as readers can tell: one that has expired waits for maintenance, unseen. */
export function alive(table: Expiring, now: Date): SQL {
  return or(isNull(table.expiresAt), gt(table.expiresAt, now)) as SQL // undefined only where no condition is given
}

/** Whether the session is there for readers: its messages are absent with it. */
export function inLivingSession({ sessions }: Pick<Tables, 'sessions'>, sessionId: string, now: Date): SQL {
  return sql`exists (select 1 from ${sessions} where ${and(eq(sessions.id, sessionId), alive(sessions, now))})`
}
