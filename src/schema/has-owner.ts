import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'

/**
 * Makes the condition of the indexes that serve the lists of one owner. A program without owners does not pay for them. A
 * query must have the same condition beside the owner: both databases then see that the index holds what it asks for.
 */
export function hasOwner({ ownerId }: { ownerId: SQLWrapper }): SQL {
  return sql`${ownerId} <> ''`
}
