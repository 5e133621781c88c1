import type { Db } from '../database/db.ts'
import { NOBODY } from '../database/owner.ts'
import { idSchema, parseInput } from '../validation/input.ts'
import type { RepositoryContext } from './context.ts'
import { type Home, homeOfOwner } from './sessions/home.ts'
import { selectSession } from './sessions/statements.ts'

/** The scope of rows that apply to all sessions. No session has the empty id, and a primary key allows no null. */
export const GLOBAL_SCOPE = ''

/** Returns the scope of a row: the id of its session, or the global scope if no session is given. */
export function scopeOf(sessionId: string | undefined): string {
  return sessionId === undefined ? GLOBAL_SCOPE : parseInput(idSchema, sessionId, 'sessionId')
}

/**
 * Returns where a write finds the row of a scope: that of a session's owner, or of the handle's owner for the global scope.
 * Looks the session up past the cache, which may be late: nobody would find a row of an owner who has given the session away.
 */
export async function homeOfScope(db: Db, { cache, now }: RepositoryContext, scope: string): Promise<Home> {
  if (scope === GLOBAL_SCOPE || db.owner !== undefined) return { db, cache }
  const session = await selectSession.first(db, { id: scope, now: now() })
  return homeOfOwner(db, cache, session?.ownerId ?? NOBODY)
}
