import { type SQL, sql } from 'drizzle-orm'
import type { Builder } from '../../database/statement.ts'

/** Identifies a session in a statement for every owner: two owners may have sessions with the same id. */
interface NamedSession {
  id: string
  ownerId: string
}

/** Returns sessions as JSON, for `givenSessions`: a list of pairs of id and owner. */
export function pairsOf(sessions: readonly NamedSession[]): string {
  return JSON.stringify(sessions.map(({ id, ownerId }) => [id, ownerId]))
}

/**
 * Makes the table `given` with a row for each pair. `value` is the pair. `key` is its position in the list, from 0 on SQLite and
 * from 1 on PostgreSQL.
 */
export function givenSessions({ dialect }: Builder, pairs: string): SQL {
  return dialect === 'sqlite'
    ? sql`json_each(${pairs}) given`
    : sql`json_array_elements(cast(${pairs} as json)) with ordinality given (value, key)`
}

/** Returns the condition that a message belongs to a session of `given`. */
export function isOfGiven({ tables: { messages: m } }: Builder): SQL {
  return sql`${m.sessionId} = given.value ->> 0 and ${m.ownerId} = given.value ->> 1`
}
