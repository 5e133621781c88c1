import { and, eq, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { notExpired } from '../../database/expiry.ts'
import { isNamed, ownerOfId } from '../../database/owner.ts'
import type { Builder } from '../../database/statement.ts'

/** Returns the condition that a row of sessions is session `id` and has not expired. */
export function isUnexpiredSession(db: Builder, id: string, now: Date): SQL {
  const { sessions } = db.tables
  return isNamed(db, sessions, id, notExpired(sessions, now))
}

/**
 * Returns the condition that a row belongs to session `sessionId`, which exists and has not expired. An expired session
 * hides its messages as well.
 */
export function inUnexpiredSession(
  db: Builder,
  table: { sessionId: PgColumn; ownerId: PgColumn },
  sessionId: string,
  now: Date,
): SQL {
  const { sessions } = db.tables
  const owner = ownerOfId(db, sessions, sessionId, notExpired(sessions, now))
  const isOfSession = and(eq(table.sessionId, sessionId), eq(table.ownerId, owner)) as SQL // given two conditions
  if (db.owner === undefined) return isOfSession // there is an owner only if there is a session
  return sql`${isOfSession} and exists (select 1 from ${sessions} where ${isUnexpiredSession(db, sessionId, now)})`
}
