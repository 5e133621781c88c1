import { and, eq, lte, type SQL, type SQLWrapper } from 'drizzle-orm'
import { CACHED_BY_SESSION } from '../../cache/owned-row-cache.ts'
import type { RowKey } from '../../cache/row-cache.ts'
import type { Db } from '../../database/db.ts'
import { OwnedDb } from '../../database/owned-db.ts'
import { NOBODY, ownerOfNames } from '../../database/owner.ts'
import { type Builder, batch, statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import { hasOwner } from '../../schema/has-owner.ts'
import type { Tables } from '../../schema/tables.ts'

/**
 * The tables whose rows belong to a session although no foreign key says so, each with the column of the session's id.
 */
export const TABLES_OF_SESSION = [
  ({ events }: Tables) => [events, events.sessionId] as const,
  ({ queues }: Tables) => [queues, queues.sessionId] as const,
  ({ approvals }: Tables) => [approvals, approvals.sessionId] as const,
  ({ approvalStates }: Tables) => [approvalStates, approvalStates.scope] as const,
  ({ allowedTools }: Tables) => [allowedTools, allowedTools.scope] as const,
  ({ toolPreferences }: Tables) => [toolPreferences, toolPreferences.scope] as const,
]

/**
 * Returns the cache keys of a session and of every row that belongs to it. A write that creates or removes a session
 * invalidates them.
 */
export function cachedRowsOf(id: string): RowKey[] {
  return CACHED_BY_SESSION.map((table) => [table, id])
}

/** Returns a name that distinguishes the sessions that reuse one id, by their creation time. */
export function incarnationOf({ id, createdAt }: { id: string; createdAt: Date }): string {
  return `${createdAt.getTime()} ${id}`
}

const deleteRows = { ofSomebody: deletions(hasOwner), ofNobody: deletions(() => undefined) }

/**
 * Makes the statements that delete the rows of a session. `further` lets the database use the indexes of owners: many owners
 * may have a session of this id.
 */
function deletions(further: (table: { ownerId: SQLWrapper }) => SQL | undefined) {
  return TABLES_OF_SESSION.map((tableOf) =>
    statement((db, arg: { id: string }) => {
      const [table, sessionId] = tableOf(db.tables)
      return db.orm.delete(table).where(and(eq(sessionId, arg.id), eq(table.ownerId, ownerOfNames(db)), further(table)))
    }),
  )
}

function deletionsOfSession({ owner }: Db, id: string) {
  const statements = owner === NOBODY ? deleteRows.ofNobody : deleteRows.ofSomebody
  return statements.map((each) => each.with({ id }))
}

const deleteSession = statement((db, arg: { id: string }) => {
  const { sessions } = db.tables
  return db.orm.delete(sessions).where(isSession(db, arg.id)).returning({ expiresAt: sessions.expiresAt })
})

const deleteSessionIfExpired = statement((db, arg: { id: string; now: Date }) => {
  const { sessions } = db.tables
  return db.orm
    .delete(sessions)
    .where(and(isSession(db, arg.id), lte(sessions.expiresAt, arg.now)))
    .returning({ id: sessions.id })
})

/** Removals run on the handle of an owner, so that no id can lead to the rows of another. */
function isSession(db: Builder, id: string): SQL {
  return and(eq(db.tables.sessions.id, id), eq(db.tables.sessions.ownerId, ownerOfNames(db))) as SQL // given two conditions
}

const selectExpired = statement(({ orm, tables: { sessions } }, arg: { now: Date; limit: number }) =>
  orm
    .select({ id: sessions.id, ownerId: sessions.ownerId })
    .from(sessions)
    .where(lte(sessions.expiresAt, arg.now))
    .orderBy(sessions.expiresAt) // so that PostgreSQL takes the index instead of the first rows it finds
    .limit(arg.limit),
)

/** How many expired sessions are read at a time. */
const EXPIRED_BATCH_SIZE = 100

/**
 * Removes a session of the handle's owner and everything that belongs to it, in one transaction. Returns the session's
 * expiry, or undefined if there was no such session.
 */
export async function removeSession(db: Db, id: string): Promise<{ expiresAt: Date | null } | undefined> {
  const [[removed]] = await batch(db, [deleteSession.with({ id }), ...deletionsOfSession(db, id)])
  return removed
}

/**
 * Removes a session of the handle's owner and everything that belongs to it if the session has expired. Returns true if it
 * had.
 */
export function removeIfExpired(db: Db, id: string, now: Date): Promise<boolean> {
  return db.transaction(async (tx) => {
    const removed = await deleteSessionIfExpired.first(tx, { id, now })
    if (removed !== undefined) {
      await batch(tx, deletionsOfSession(tx, id))
    }
    return removed !== undefined
  })
}

/**
 * Runs `write`, which creates session `id` or appends to it. If the write conflicts, removes an expired session of that
 * id, which maintenance has not removed yet, and retries once. Another caller may remove it first.
 */
export async function retryWithoutExpired<T>(
  db: Db,
  { id, now }: { id: string; now: Date },
  write: () => Promise<T>,
): Promise<T> {
  try {
    return await write()
  } catch (error) {
    if (!isWriteConflict(error)) throw error
    // Without an owner, only the session of nobody is in the way.
    await removeIfExpired(db.owner === undefined ? new OwnedDb(db, NOBODY) : db, id, now)
    return write()
  }
}

/**
 * Returns true if a row that exists already may be why the database refused a write: ALREADY_EXISTS for a taken id,
 * DATABASE_FAILED for an append to an expired session, which yields no seq.
 */
export function isWriteConflict(error: unknown): boolean {
  return error instanceof StorageError && ['ALREADY_EXISTS', 'DATABASE_FAILED'].includes(error.code)
}

/** Yields expired sessions of all owners, in batches. The caller removes each session before it asks for the next. */
export async function* expiredSessions(db: Db, now: Date): AsyncGenerator<{ id: string; ownerId: string }> {
  for (;;) {
    const expired = await selectExpired.all(db, { now, limit: EXPIRED_BATCH_SIZE })
    yield* expired
    if (expired.length < EXPIRED_BATCH_SIZE) return
  }
}
