import { idSchema, parseInput } from '../validation/input.ts'

/** The scope of rows that apply to all sessions. No session has the empty id, and a primary key allows no null. */
export const GLOBAL_SCOPE = ''

/** Returns the scope of a row: the id of its session, or the global scope if no session is given. */
export function scopeOf(sessionId: string | undefined): string {
  return sessionId === undefined ? GLOBAL_SCOPE : parseInput(idSchema, sessionId, 'sessionId')
}
