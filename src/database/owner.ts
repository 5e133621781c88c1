import { and, eq, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { hasOwner } from '../schema/has-owner.ts'
import type { Builder } from './statement.ts'

/** The owner of the rows that belong to nobody. No owner has the empty id, and a primary key allows no null. */
export const NOBODY = ''

/** Returns the owner of what has a name, such as a key: the owner of the handle. Without one, nobody. */
export function ownerOfNames({ owner }: Pick<Builder, 'owner'>): string {
  return owner ?? NOBODY
}

/**
 * Returns the condition of the rows that a list shows: those of the handle's owner, or undefined for everybody's. It is
 * also the condition of the indexes that serve the lists of one owner.
 */
export function isVisible({ owner }: Pick<Builder, 'owner'>, table: { ownerId: PgColumn }): SQL | undefined {
  return owner === undefined ? undefined : ofOwner(table, owner)
}

/**
 * Returns the condition that a row, which is found by a key that only we make, belongs to the owner of the handle. Without
 * an owner undefined: everybody's rows are found.
 */
export function isOwn({ owner }: Pick<Builder, 'owner'>, table: { ownerId: PgColumn }): SQL | undefined {
  return owner === undefined ? undefined : eq(table.ownerId, owner)
}

/** Returns the condition of the rows of one owner, in a form that the indexes of owners serve. */
export function ofOwner(table: { ownerId: PgColumn }, owner: string): SQL {
  return and(eq(table.ownerId, owner), hasOwner(table)) as SQL // undefined only if no condition is given
}

/**
 * Returns the owner of the row that an id names: the owner of the handle. A handle without an owner finds the row that
 * belongs to nobody, or else the only row with this id. If several owners have such a row, and nobody has none, the owner
 * is null and the id names nothing: a program must not change one person's data because another chose the same id.
 *
 * @param among Restricts the rows, such as to those that have not expired.
 */
export function ownerOfId(
  { owner }: Pick<Builder, 'owner'>,
  table: { id: PgColumn; ownerId: PgColumn },
  id: string,
  among?: SQL,
): SQL | string {
  if (owner !== undefined) return owner
  const { ownerId } = table
  return sql`(select ${clearOwner(ownerId)} from ${ownerId.table} where ${and(eq(table.id, id), among)})`
}

/** Returns the owner among rows of one id: nobody, or else the only one, or null if there are several. */
export function clearOwner(ownerId: PgColumn): SQL {
  const isClear = sql`min(${ownerId}) = ${sql.raw(`''`)} or min(${ownerId}) = max(${ownerId})`
  return sql`case when ${isClear} then min(${ownerId}) end`
}

/** Returns the condition that a row is the one that an id names. See `ownerOfId`. */
export function isNamed(
  db: Pick<Builder, 'owner'>,
  table: { id: PgColumn; ownerId: PgColumn },
  id: string,
  among?: SQL,
): SQL {
  return and(eq(table.id, id), eq(table.ownerId, ownerOfId(db, table, id, among)), among) as SQL // as above
}

/**
 * Returns the owner of the rows that belong to a session, whether it exists or not: the owner of the handle. A handle
 * without an owner writes to the session's owner, or to nobody if there is no such session.
 */
export function ownerOfSession(db: Builder, sessionId: string, among?: SQL): SQL | string {
  const owner = ownerOfId(db, db.tables.sessions, sessionId, among)
  return typeof owner === 'string' ? owner : sql`coalesce(${owner}, ${sql.raw(`''`)})`
}
