import { and, eq, inArray, lte, type SQL, sql } from 'drizzle-orm'
import { ownedKeys } from '../../cache/owned-row-cache.ts'
import type { RowKey } from '../../cache/row-cache.ts'
import type { Db } from '../../database/db.ts'
import { notExpired } from '../../database/expiry.ts'
import { StorageError } from '../../errors.ts'
import { withUnexpiredSession } from './unexpired.ts'

/** Thrown if a session has an entry that was not listed yet. The caller lists the entries again. */
export class EntriesAdded extends Error {}

interface SessionOfOwner {
  id: string
  owner: string
}

/** Returns the keys of the entries of `kv` that go with a session. Takes a handle without an owner. */
export async function keysOfSession({ orm, tables: { kv } }: Db, { id, owner }: SessionOfOwner): Promise<string[]> {
  const entries = await orm.select({ key: kv.key }).from(kv).where(isOfSession(kv, { id, owner }))
  return entries.map(({ key }) => key)
}

/** Returns the cache keys to invalidate if an owner is given entries with these keys: the cache may hold their absence. */
export function cachedEntries(owner: string, keys: readonly string[]): RowKey[] {
  return ownedKeys(
    owner,
    keys.map((key): RowKey => ['kv', key]),
  )
}

/**
 * Makes room for the entries and lists that go with a session: checks that the owner `to` uses none of their keys. Removes the
 * session's expired entries, and expired entries and lists of `to` that use one of the keys.
 *
 * @throws {ALREADY_EXISTS} when `to` has an entry or a list with the key of one that goes with the session
 */
export async function makeRoom(tx: Db, { id, from, to, now }: { id: string; from: string; to: string; now: Date }) {
  const { orm, tables } = tx
  const { kv } = tables
  await orm.delete(kv).where(and(isOfSession(kv, { id, owner: from }), lte(kv.expiresAt, now)))
  const isUnexpired = { kv: notExpired(kv, now), lists: sql`true` }
  for (const name of ['kv', 'lists'] as const) {
    const table = tables[name]
    const given = orm
      .select({ key: table.key })
      .from(table)
      .where(isOfSession(table, { id, owner: from }))
    const hasTakenKey = and(eq(table.ownerId, to), inArray(table.key, given))
    const isPresent = and(isUnexpired[name], withUnexpiredSession(tx, table, now))
    await orm.delete(table).where(and(hasTakenKey, sql`not ${isPresent}`))
    const [taken] = await orm.select({ key: table.key }).from(table).where(hasTakenKey).limit(1)
    if (taken === undefined) continue
    const what = name === 'kv' ? 'an entry of kv' : 'a list'
    const message = `The new owner has ${what} with the same key as one of the session: delete one of the two`
    throw new StorageError('ALREADY_EXISTS', message, { details: { key: taken.key } })
  }
}

function isOfSession(table: Db['tables']['kv' | 'lists'], { id, owner }: SessionOfOwner): SQL {
  return and(eq(table.sessionId, id), eq(table.ownerId, owner)) as SQL // given two conditions
}
