import { randomUUID } from 'node:crypto'
import { eq } from 'drizzle-orm'
import { StorageError } from '../errors.ts'
import type { Db } from './db.ts'
import { statement } from './statement.ts'

const selectId = statement(({ orm, tables: { properties: p } }, arg: { name: string }) =>
  orm.select({ value: p.value }).from(p).where(eq(p.name, arg.name)),
)

const insertId = statement(({ orm, tables: { properties: p } }, arg: { name: string; value: string }) =>
  orm.insert(p).values({ name: arg.name, value: arg.value }).onConflictDoNothing(),
)

/**
 * Returns the database's stored random id, part of every cache key. A read-only database without one gets a new id per
 * open.
 */
export async function databaseIdentity(db: Db): Promise<string> {
  const name = 'id'
  const known = await selectId.first(db, { name })
  if (known) return known.value
  const value = randomUUID()
  try {
    await insertId.all(db, { name, value })
  } catch (error) {
    if (error instanceof StorageError && error.code === 'READ_ONLY') return value
    throw error
  }
  return (await selectId.first(db, { name }))?.value ?? value
}
