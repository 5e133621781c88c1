import { and, eq, lte } from 'drizzle-orm'
import type { RowKey } from '../../cache/row-cache.ts'
import type { Db } from '../../database/db.ts'
import { batch, statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { Tables } from '../../schema/tables.ts'

/** What belongs to a session without a foreign key that says so. */
const OWNED = [
  ({ events }: Tables) => [events, events.sessionId] as const,
  ({ queues }: Tables) => [queues, queues.sessionId] as const,
  ({ approvals }: Tables) => [approvals, approvals.sessionId] as const,
  ({ approvalStates }: Tables) => [approvalStates, approvalStates.scope] as const,
  ({ allowedTools }: Tables) => [allowedTools, allowedTools.scope] as const,
  ({ toolPreferences }: Tables) => [toolPreferences, toolPreferences.scope] as const,
]

/** What the cache may hold of a session and of what belongs to it. */
export function cachedRowsOf(id: string): RowKey[] {
  return ['sessions', 'approvalStates', 'toolPreferences'].map((table) => [table, id])
}

/** Names a session among those that have its id one after the other: they are created at different times. */
export function incarnationOf({ id, createdAt }: { id: string; createdAt: Date }): string {
  return `${createdAt.getTime()} ${id}`
}

const deleteOwned = OWNED.map((owned) =>
  statement(({ orm, tables }, arg: { id: string }) => {
    const [table, column] = owned(tables)
    return orm.delete(table).where(eq(column, arg.id))
  }),
)

const deleteSession = statement(({ orm, tables: { sessions } }, arg: { id: string }) =>
  orm.delete(sessions).where(eq(sessions.id, arg.id)).returning({ expiresAt: sessions.expiresAt }),
)

const deleteExpired = statement(({ orm, tables: { sessions } }, arg: { id: string; now: Date }) =>
  orm
    .delete(sessions)
    .where(and(eq(sessions.id, arg.id), lte(sessions.expiresAt, arg.now)))
    .returning({ id: sessions.id }),
)

const selectExpired = statement(({ orm, tables: { sessions } }, arg: { now: Date; limit: number }) =>
  orm
    .select({ id: sessions.id })
    .from(sessions)
    .where(lte(sessions.expiresAt, arg.now))
    .orderBy(sessions.expiresAt) // so that PostgreSQL takes the index, and not the first rows that it finds
    .limit(arg.limit),
)

/** How many expired sessions are read at a time. */
const EXPIRED_AT_ONCE = 100

/** Removes a session and all that belongs to it, in one transaction; its expiry, or undefined where there was none. */
export async function removeSession(db: Db, id: string): Promise<{ expiresAt: Date | null } | undefined> {
  const [[removed]] = await batch(db, [deleteSession.with({ id }), ...deleteOwned.map((owned) => owned.with({ id }))])
  return removed
}

/** The same where the session has expired; whether it had. */
export function removeExpiredSession(db: Db, id: string, now: Date): Promise<boolean> {
  return db.transaction(async (tx) => {
    const removed = await deleteExpired.first(tx, { id, now })
    if (removed !== undefined) {
      await batch(
        tx,
        deleteOwned.map((owned) => owned.with({ id })),
      )
    }
    return removed !== undefined
  })
}

/**
 * Runs `write`, which takes the place of session `id`. Where the database refuses it, an expired session may be in the
 * way that maintenance has not removed yet: that is removed, here or by another caller, and `write` runs once more.
 */
export async function replacingExpired<T>(
  db: Db,
  { id, now }: { id: string; now: Date },
  write: () => Promise<T>,
): Promise<T> {
  try {
    return await write()
  } catch (error) {
    if (!isWriteConflict(error)) throw error
    await removeExpiredSession(db, id, now)
    return write()
  }
}

/** Whether the database has refused a write for what is there already. */
export function isWriteConflict(error: unknown): boolean {
  return error instanceof StorageError && ['ALREADY_EXISTS', 'DATABASE_FAILED'].includes(error.code)
}

/** The ids of expired sessions, which are removed as they go. */
export async function* expiredSessions(db: Db, now: Date): AsyncGenerator<string> {
  for (;;) {
    const expired = await selectExpired.all(db, { now, limit: EXPIRED_AT_ONCE })
    for (const { id } of expired) yield id
    if (expired.length < EXPIRED_AT_ONCE) return
  }
}
