import { idSchema, parseInput } from '../validation/input.ts'

/** All sessions: no session has the empty id, and a primary key takes no null. */
export const GLOBAL = ''

/** What a row of a session is filed under, or a global one where no session is given. */
export function scopeOf(sessionId: string | undefined): string {
  return sessionId === undefined ? GLOBAL : parseInput(idSchema, sessionId, 'sessionId')
}
