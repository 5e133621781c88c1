import type { Db } from '../database/db.ts'
import { idSchema, parseInput } from '../validation/input.ts'
import type { RepositoryContext } from './context.ts'
import { currentHomeOf, type Home } from './sessions/home.ts'

/** The scope of rows that apply to all sessions. No session has the empty id, and a primary key allows no null. */
export const GLOBAL_SCOPE = ''

/** Returns the scope of a row: the id of its session, or the global scope if no session is given. */
export function scopeOf(sessionId: string | undefined): string {
  return sessionId === undefined ? GLOBAL_SCOPE : parseInput(idSchema, sessionId, 'sessionId')
}

/** Returns where a write finds the row of a scope: that of a session's owner, or of the handle's owner for the global scope. */
export async function homeOfScope(db: Db, context: RepositoryContext, scope: string): Promise<Home> {
  return scope === GLOBAL_SCOPE ? { db, cache: context.cache } : currentHomeOf(db, context, scope)
}
