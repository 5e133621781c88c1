import { and, eq, inArray, lte, type SQL, sql } from 'drizzle-orm'
import { ownedKeys } from '../../cache/owned-row-cache.ts'
import type { RowKey } from '../../cache/row-cache.ts'
import type { Db } from '../../database/db.ts'
import { notExpired } from '../../database/expiry.ts'
import { StorageError } from '../../errors.ts'
import { withUnexpiredSession } from './unexpired.ts'

/** A session has got an entry since its entries were listed: list them again. */
export class EntriesAdded extends Error {}

interface SessionOfOwner {
  id: string
  owner: string
}

/** Returns the keys of the entries that go with a session. `db` is a handle without an owner. */
export async function keysOfSession({ orm, tables: { kv } }: Db, { id, owner }: SessionOfOwner): Promise<string[]> {
  const entries = await orm.select({ key: kv.key }).from(kv).where(isOfSession(kv, { id, owner }))
  return entries.map(({ key }) => key)
}

/** Returns the cache keys of entries that an owner is given: the cache may know that the owner has no such entries. */
export function cachedEntries(owner: string, keys: readonly string[]): RowKey[] {
  return ownedKeys(
    owner,
    keys.map((key): RowKey => ['kv', key]),
  )
}

/**
 * Checks that the owner `to` has no entry and no list with a key of those that go with a session. Removes what has expired
 * of both.
 *
 * @throws {ALREADY_EXISTS} when the owner has one
 */
export async function makeRoom(tx: Db, { id, from, to, now }: { id: string; from: string; to: string; now: Date }) {
  const { orm, tables } = tx
  const { kv } = tables
  await orm.delete(kv).where(and(isOfSession(kv, { id, owner: from }), lte(kv.expiresAt, now)))
  const isKept = { kv: notExpired(kv, now), lists: sql`true` }
  for (const name of ['kv', 'lists'] as const) {
    const table = tables[name]
    const given = orm
      .select({ key: table.key })
      .from(table)
      .where(isOfSession(table, { id, owner: from }))
    const isInTheWay = and(eq(table.ownerId, to), inArray(table.key, given))
    const isPresent = and(isKept[name], withUnexpiredSession(tx, table, now))
    await orm.delete(table).where(and(isInTheWay, sql`not ${isPresent}`))
    const [taken] = await orm.select({ key: table.key }).from(table).where(isInTheWay).limit(1)
    if (taken === undefined) continue
    const what = name === 'kv' ? 'an entry of kv' : 'a list'
    const message = `The new owner has ${what} with the same key as one of the session: delete one of the two`
    throw new StorageError('ALREADY_EXISTS', message, { details: { key: taken.key } })
  }
}

function isOfSession(table: Db['tables']['kv' | 'lists'], { id, owner }: SessionOfOwner): SQL {
  return and(eq(table.sessionId, id), eq(table.ownerId, owner)) as SQL // given two conditions
}
