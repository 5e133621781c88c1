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
async function homeOf(db: Db, { cache, now }: RepositoryContext, sessionId: string): Promise<Home> {
  if (db.owner !== undefined) return { db, cache }
  const load = (handle = db) => selectSession.first(handle, { id: sessionId, now: now() })
  const session = await cache.read('sessions', sessionId, load)
  return homeOfOwner(db, cache, session?.ownerId ?? NOBODY)
}

/**
 * Returns the home of a session as the database has it: the cache may be late, and nobody would find a row of an owner who has
 * given the session away.
 */
export async function currentHomeOf(db: Db, { cache, now }: RepositoryContext, sessionId: string): Promise<Home> {
  if (db.owner !== undefined) return { db, cache }
  const session = await selectSession.first(db, { id: sessionId, now: now() })
  return homeOfOwner(db, cache, session?.ownerId ?? NOBODY)
}

/**
 * Runs a write to a session, which returns undefined if the owner of the home has none. On a handle without an owner the session
 * may have been given away since it was looked up: then the write runs again, with the owner of now.
 */
export async function writeAtHome<T>(
  db: Db,
  context: RepositoryContext,
  sessionId: string,
  write: (home: Home) => Promise<T | undefined>,
): Promise<T | undefined> {
  for (let home = await homeOf(db, context, sessionId); ; ) {
    const written = await write(home)
    if (written !== undefined || db.owner !== undefined) return written
    const session = await selectSession.first(db, { id: sessionId, now: context.now() }) // the cache may be late
    if (session === undefined || session.ownerId === home.db.owner) return undefined
    home = homeOfOwner(db, context.cache, session.ownerId)
  }
}

/** Returns the home of one owner's rows. */
export function homeOfOwner(db: Db, cache: RowCache, owner: string): Home {
  return { db: new OwnedDb(db, owner), cache: new OwnedRowCache(cache, owner) }
}
