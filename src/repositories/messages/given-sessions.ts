import { type SQL, sql } from 'drizzle-orm'
import type { Builder } from '../../database/statement.ts'

/** What names a session of any owner. */
interface NamedSession {
  id: string
  ownerId: string
}

/** Returns sessions as a statement takes them: the JSON of a list of pairs, the id and the owner of each. */
export function pairsOf(sessions: readonly NamedSession[]): string {
  return JSON.stringify(sessions.map(({ id, ownerId }) => [id, ownerId]))
}

/** Makes the table `given` of sessions: `value` is the pair of each, and `key` its place in the list. */
export function givenSessions({ dialect }: Builder, pairs: string): SQL {
  return dialect === 'sqlite'
    ? sql`json_each(${pairs}) given`
    : sql`json_array_elements(cast(${pairs} as json)) with ordinality given (value, key)`
}

/** Returns the condition that a message belongs to a session of `given`. */
export function isOfGiven({ tables: { messages: m } }: Builder): SQL {
  return sql`${m.sessionId} = given.value ->> 0 and ${m.ownerId} = given.value ->> 1`
}
