import { and, eq, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { noteOwnerOf } from '../../database/decided-db.ts'
import { notExpired } from '../../database/expiry.ts'
import { isNamed, ownerOfId } from '../../database/owner.ts'
import { type Builder, type Built, type Statement, statement } from '../../database/statement.ts'

/** Returns the condition that a row of sessions is session `id` and has not expired. */
export function isUnexpiredSession(db: Builder, id: string, now: Date): SQL {
  const { sessions } = db.tables
  return isNamed(db, sessions, id, notExpired(sessions, now))
}

/** Locks the session. If there is no such session, the other statements of the batch find nothing. See `batchOfSession`. */
export const sessionPresence = statement((db, arg: { sessionId: string; now: Date }) =>
  noteOwnerOf(db, db.tables.sessions, isUnexpiredSession(db, arg.sessionId, arg.now)),
)

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
  if (db.owner === undefined) return isOfSession // the subquery finds the owner only if the session exists
  return sql`${isOfSession} and exists (select 1 from ${sessions} where ${isUnexpiredSession(db, sessionId, now)})`
}

/**
 * Returns the condition that a row belongs to no session, or to a session that has not expired. The foreign key of the row
 * guarantees that the session exists. The subquery returns a value, since for EXISTS PostgreSQL might read all sessions.
 */
export function withUnexpiredSession(db: Builder, table: { sessionId: PgColumn; ownerId: PgColumn }, now: Date): SQL {
  const { sessions: s } = db.tables
  const isSession = and(eq(s.id, table.sessionId), eq(s.ownerId, table.ownerId))
  return sql`(${table.sessionId} is null or (select ${notExpired(s, now)} from ${s} where ${isSession}))`
}

/** Makes the expression of the last seq of a session: null if the session does not exist or has expired. */
export function lastSeqOf(db: Builder, sessionId: string, now: Date): SQL {
  const { sessions: s } = db.tables
  return sql`(select ${s.lastSeq} from ${s} where ${isUnexpiredSession(db, sessionId, now)})`
}

/**
 * Makes the statement that fails, and so ends the batch, if the condition does not hold for a session: the statement sets the
 * version to null, which the column does not allow. It belongs after the call that locks the session.
 */
export function requirement<Arg extends { sessionId: string; now: Date }>(
  condition: (db: Builder, arg: Arg) => SQL,
): Statement<Arg, never> {
  return statement((db, arg: Arg): Built<never> => {
    const { sessions: s } = db.tables
    return db.orm
      .update(s)
      .set({ version: sql`case when ${condition(db, arg)} then ${s.version} end` })
      .where(isUnexpiredSession(db, arg.sessionId, arg.now))
  })
}
