import { and, eq, isNotNull, lte, notExists, type SQL } from 'drizzle-orm'
import { CACHED_BY_SESSION } from '../../cache/owned-row-cache.ts'
import type { RowKey } from '../../cache/row-cache.ts'
import type { Db } from '../../database/db.ts'
import { OwnedDb } from '../../database/owned-db.ts'
import { NOBODY, ownerOfNames } from '../../database/owner.ts'
import { type Builder, batch, type Call, statement } from '../../database/statement.ts'
import { isStorageError, StorageError } from '../../errors.ts'
import { hasOwner } from '../../schema/has-owner.ts'
import type { Tables } from '../../schema/tables.ts'
import type { RepositoryContext } from '../context.ts'

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

type TableOfSession = ReturnType<(typeof TABLES_OF_SESSION)[number]>[0]

const deleteRows = deletions(() => undefined)
const deleteRowsButPending = deletions((table, { approvals }) =>
  table === approvals ? isNotNull(approvals.respondedAt) : undefined,
)

/**
 * Makes the statements that delete the rows of a session, for somebody's and for nobody's. The condition `hasOwner` lets the
 * database use the indexes of owners: many owners may have a session of this id.
 */
function deletions(further: (table: TableOfSession, tables: Tables) => SQL | undefined) {
  const deletionsOf = (isSomebodys: (table: TableOfSession) => SQL | undefined) =>
    TABLES_OF_SESSION.map((tableOf) =>
      statement((db, arg: { id: string }) => {
        const [table, sessionId] = tableOf(db.tables)
        const isOfSession = and(eq(sessionId, arg.id), eq(table.ownerId, ownerOfNames(db)), isSomebodys(table))
        return db.orm.delete(table).where(and(isOfSession, further(table, db.tables), isMissing(db, arg.id)))
      }),
    )
  return { ofSomebody: deletionsOf(hasOwner), ofNobody: deletionsOf(() => undefined) }
}

/**
 * Returns the condition that there is no session of this id. On PostgreSQL each statement sees a later moment: if the first one
 * has found no session to delete, one may have been created since, and its rows stay.
 */
function isMissing(db: Builder, id: string): SQL {
  const { sessions } = db.tables
  return notExists(db.orm.select({ id: sessions.id }).from(sessions).where(isSession(db, id)))
}

function deletionsOfSession({ owner }: Db, id: string, rows = deleteRows): Call<unknown>[] {
  const statements = owner === NOBODY ? rows.ofNobody : rows.ofSomebody
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
    .returning({ expiresAt: sessions.expiresAt })
})

/** Removals run on the handle of an owner, so that no id can lead to the rows of another. */
function isSession(db: Builder, id: string): SQL {
  return and(eq(db.tables.sessions.id, id), eq(db.tables.sessions.ownerId, ownerOfNames(db))) as SQL // given two conditions
}

/**
 * Removes a session of the handle's owner and everything that belongs to it, in one transaction. Returns the session's
 * expiry, or undefined if there was no such session.
 */
export async function removeSession(db: Db, id: string): Promise<{ expiresAt: Date | null } | undefined> {
  const [[removed]] = await batch(db, [deleteSession.with({ id }), ...deletionsOfSession(db, id)])
  return removed
}

/** When it is, as far as this instance knows, and by the clock that all instances share. */
export interface Clock {
  now: Date
  confirmedNow: RepositoryContext['confirmedNow']
}

/**
 * Removes a session of the handle's owner and everything that belongs to it if the session has expired. Returns true if it
 * had.
 *
 * @throws {DATABASE_FAILED} when PostgreSQL's clock was set back, and only this instance says so; nothing was removed
 */
export function removeIfExpired(db: Db, id: string, { now, confirmedNow }: Clock): Promise<boolean> {
  return db.transaction(async (tx) => {
    const removed = await deleteSessionIfExpired.first(tx, { id, now })
    if (removed === undefined) return false
    if (removed.expiresAt !== null && removed.expiresAt > (await confirmedNow(tx))) throw clockWasSetBack()
    await batch(tx, deletionsOfSession(tx, id))
    return true
  })
}

function clockWasSetBack(): StorageError {
  const message = "PostgreSQL's clock was set back, so a session seemed to have expired: try again"
  return new StorageError('DATABASE_FAILED', message, { retryable: true })
}

/**
 * Removes a session of the handle's owner and everything that belongs to it, but no pending approval, if `deleteIfUnused`
 * deletes its row. Returns true if it did.
 */
export function removeIfUnused(
  db: Db,
  id: string,
  deleteIfUnused: (tx: Db) => Promise<object | undefined>,
): Promise<boolean> {
  return db.transaction(async (tx) => {
    const removed = await deleteIfUnused(tx)
    if (removed !== undefined) await batch(tx, deletionsOfSession(tx, id, deleteRowsButPending))
    return removed !== undefined
  })
}

/**
 * Runs `write`, which creates session `id` or appends to it. If the write conflicts, removes an expired session of that
 * id, which maintenance has not removed yet, and retries once. Another caller may remove it first.
 */
export async function retryWithoutExpired<T>(
  db: Db,
  { id, ...clock }: Clock & { id: string },
  write: () => Promise<T>,
): Promise<T> {
  try {
    return await write()
  } catch (error) {
    if (!isWriteConflict(error)) throw error
    await removeExpired(db, id, clock)
    return write()
  }
}

/**
 * Removes an expired session that is in the way of a write, and everything that belongs to it. Another caller may remove it
 * first. Without an owner, only the session of nobody is in the way.
 *
 * @throws {DATABASE_FAILED} when PostgreSQL's clock was set back, and only this instance says so; nothing was removed
 */
export async function removeExpired(db: Db, id: string, clock: Clock): Promise<void> {
  await removeIfExpired(db.owner === undefined ? new OwnedDb(db, NOBODY) : db, id, clock)
}

/**
 * Returns true if a row that exists already may be why the database refused a write: ALREADY_EXISTS for a taken id,
 * DATABASE_FAILED for an append to an expired session, which yields no seq and so violates a constraint. PostgreSQL asks
 * policies of row-level security before constraints, and they refuse a row whose session is missing with INVALID_STATE.
 */
export function isWriteConflict(error: unknown): boolean {
  if (isStorageError(error, 'ALREADY_EXISTS')) return true
  if (isStorageError(error, 'INVALID_STATE')) return error.details.postgresCode === '42501'
  if (!isStorageError(error, 'DATABASE_FAILED')) return false
  const { sqliteCode, postgresCode } = error.details
  if (sqliteCode !== undefined) return sqliteCode.startsWith('SQLITE_CONSTRAINT')
  return postgresCode === undefined || postgresCode.startsWith('23')
}
