import { randomUUID } from 'node:crypto'
import { eq } from 'drizzle-orm'
import { isStorageError } from '../errors.ts'
import type { Db } from './db.ts'
import { statement } from './statement.ts'

/** The name of the random id of the database. */
export const ID = 'id'

const selectProperty = statement(({ orm, tables: { properties: p } }, arg: { name: string }) =>
  orm.select({ value: p.value }).from(p).where(eq(p.name, arg.name)),
)

const insertProperty = statement(({ orm, tables: { properties: p } }, arg: { name: string; value: string }) =>
  orm.insert(p).values({ name: arg.name, value: arg.value }).onConflictDoNothing(),
)

const upsertProperty = statement(({ orm, tables: { properties: p } }, arg: { name: string; value: string }) =>
  orm
    .insert(p)
    .values({ name: arg.name, value: arg.value })
    .onConflictDoUpdate({ target: p.name, set: { value: arg.value } }),
)

const deleteProperty = statement(({ orm, tables: { properties: p } }, arg: { name: string }) =>
  orm.delete(p).where(eq(p.name, arg.name)),
)

/** Forgets a fact. Safe to repeat. */
export async function removeProperty(db: Db, name: string): Promise<void> {
  await deleteProperty.all(db, { name })
}

/** Returns a fact that the database keeps about itself, or undefined. */
export async function readProperty(db: Db, name: string): Promise<string | undefined> {
  return (await selectProperty.first(db, { name }))?.value
}

/** Keeps a fact, in place of an earlier one. Safe to repeat. */
export async function setProperty(db: Db, name: string, value: string): Promise<void> {
  await upsertProperty.all(db, { name, value })
}

/** Keeps a fact, in place of an earlier one. A read-only database is left as it is. Safe to repeat. */
export async function writeProperty(db: Db, name: string, value: string): Promise<void> {
  await setProperty(db, name, value).catch(ignoreReadOnly)
}

/**
 * Keeps a fact, unless the database has one of this name. Returns the fact that the database has then: undefined if it is
 * read-only and had none. Safe to repeat.
 */
export async function claimProperty(db: Db, name: string, value: string): Promise<string | undefined> {
  const known = await readProperty(db, name)
  if (known !== undefined) return known
  await insertProperty.all(db, { name, value }).catch(ignoreReadOnly)
  return readProperty(db, name)
}

/**
 * Returns the database's stored random id, part of every cache key. A read-only database without one gets a new id per
 * open.
 */
export async function databaseIdentity(db: Db): Promise<string> {
  const value = randomUUID()
  return (await claimProperty(db, ID, value)) ?? value
}

/** Ignores the refusal of a write that a database does without, if it is read-only or the user may only read. */
export function ignoreReadOnly(error: unknown): void {
  if (!isStorageError(error, 'READ_ONLY') && !isStorageError(error, 'PRIVILEGE_MISSING')) throw error
}
