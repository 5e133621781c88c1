import { OwnedRowCache } from '../../cache/owned-row-cache.ts'
import type { RowCache } from '../../cache/row-cache.ts'
import type { Db } from '../../database/db.ts'
import { OwnedDb } from '../../database/owned-db.ts'
import { NOBODY } from '../../database/owner.ts'
import type { RepositoryContext } from '../context.ts'
import { selectSession } from './statements.ts'

/** Where the rows of one owner are: a handle and a cache. */
export interface Home {
  db: Db
  cache: RowCache
}

/**
 * Returns the home of a session and of the rows that are cached by its id. A write must know the owner before it begins,
 * since it announces the cache keys that it changes. A handle without an owner looks the session up, mostly in the cache.
 */
export async function homeOf(db: Db, { cache, now }: RepositoryContext, sessionId: string): Promise<Home> {
  if (db.owner !== undefined) return { db, cache }
  const load = (handle = db) => selectSession.first(handle, { id: sessionId, now: now() })
  const session = await cache.read('sessions', sessionId, load)
  return homeOfOwner(db, cache, session?.ownerId ?? NOBODY)
}

/** Returns the home of one owner's rows. */
export function homeOfOwner(db: Db, cache: RowCache, owner: string): Home {
  return { db: new OwnedDb(db, owner), cache: new OwnedRowCache(cache, owner) }
}
