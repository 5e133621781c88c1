import { and, eq, lte } from 'drizzle-orm'
import type { RowKey } from '../../cache/row-cache.ts'
import type { Db } from '../../database/db.ts'
import { batch, statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { Tables } from '../../schema/tables.ts'

/**
 * The tables whose rows belong to a session although no foreign key says so, each with the column of the session's id.
 */
const OWNED_TABLES = [
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
  return ['sessions', 'approvalStates', 'toolPreferences'].map((table) => [table, id])
}

/** Returns a name that distinguishes the sessions that reuse one id, by their creation time. */
export function incarnationOf({ id, createdAt }: { id: string; createdAt: Date }): string {
  return `${createdAt.getTime()} ${id}`
}

const deleteOwnedRows = OWNED_TABLES.map((ownedTable) =>
  statement(({ orm, tables }, arg: { id: string }) => {
    const [table, sessionId] = ownedTable(tables)
    return orm.delete(table).where(eq(sessionId, arg.id))
  }),
)

const deleteSession = statement(({ orm, tables: { sessions } }, arg: { id: string }) =>
  orm.delete(sessions).where(eq(sessions.id, arg.id)).returning({ expiresAt: sessions.expiresAt }),
)

const deleteSessionIfExpired = statement(({ orm, tables: { sessions } }, arg: { id: string; now: Date }) =>
  orm
    .delete(sessions)
    .where(and(eq(sessions.id, arg.id), lte(sessions.expiresAt, arg.now)))
    .returning({ id: sessions.id }),
)

const selectExpiredIds = statement(({ orm, tables: { sessions } }, arg: { now: Date; limit: number }) =>
  orm
    .select({ id: sessions.id })
    .from(sessions)
    .where(lte(sessions.expiresAt, arg.now))
    .orderBy(sessions.expiresAt) // so that PostgreSQL takes the index instead of the first rows it finds
    .limit(arg.limit),
)

/** How many ids of expired sessions are read at a time. */
const EXPIRED_BATCH_SIZE = 100

/**
 * Removes a session and everything that belongs to it, in one transaction. Returns the session's expiry, or undefined
 * if there was no such session.
 */
export async function removeSession(db: Db, id: string): Promise<{ expiresAt: Date | null } | undefined> {
  const [[removed]] = await batch(db, [
    deleteSession.with({ id }),
    ...deleteOwnedRows.map((deleteRows) => deleteRows.with({ id })),
  ])
  return removed
}

/** Removes a session and everything that belongs to it if the session has expired. Returns true if it had. */
export function removeIfExpired(db: Db, id: string, now: Date): Promise<boolean> {
  return db.transaction(async (tx) => {
    const removed = await deleteSessionIfExpired.first(tx, { id, now })
    if (removed !== undefined) {
      await batch(
        tx,
        deleteOwnedRows.map((deleteRows) => deleteRows.with({ id })),
      )
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
    await removeIfExpired(db, id, now)
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

/** Yields the ids of expired sessions, in batches. The caller removes each session before it asks for the next id. */
export async function* expiredSessionIds(db: Db, now: Date): AsyncGenerator<string> {
  for (;;) {
    const expired = await selectExpiredIds.all(db, { now, limit: EXPIRED_BATCH_SIZE })
    for (const { id } of expired) yield id
    if (expired.length < EXPIRED_BATCH_SIZE) return
  }
}
