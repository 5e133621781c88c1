import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import { MOST_ROWS } from '../../maintenance/pace.ts'

/** Where a row is: the id of its session or of its run, and its owner. */
export interface Place {
  id: SQLWrapper
  ownerId: SQLWrapper
}

/**
 * Returns the condition that the rows of a session are those of its owner, in two alternatives: the indexes of owners serve the
 * first. By the id of the session alone, the rows of everybody whose session has the same id would be read.
 */
export function alternatives(
  { sessionId, ownerId }: { sessionId: SQLWrapper; ownerId: SQLWrapper },
  session: Place,
): readonly SQL[] {
  const isOfSession = sql`${sessionId} = ${session.id} and ${ownerId}`
  return [
    sql`${isOfSession} = ${session.ownerId} and ${ownerId} <> ''`,
    sql`${isOfSession} = '' and ${session.ownerId} = ''`,
  ]
}

/** Makes the expression that is true if a session has more rows in a table than one transaction takes. */
export function hasManyRows(
  table: SQLWrapper & { sessionId: SQLWrapper; ownerId: SQLWrapper },
  session: Place,
): SQL<boolean> {
  const most = sql.raw(String(MOST_ROWS))
  const [ofOwner, ofNobody] = alternatives(table, session).map(
    (isIts) => sql`exists (select 1 from ${table} where ${isIts} limit 1 offset ${most})`,
  )
  return sql`(${ofOwner} or ${ofNobody})`.mapWith(Boolean)
}
