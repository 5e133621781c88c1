import { and, eq, type SQL, sql } from 'drizzle-orm'
import { isLookedUp, lookedUp, namedColumns } from '../../database/looked-up.ts'
import { type Builder, rowsStatement } from '../../database/statement.ts'
import { inUnexpiredSession } from '../sessions/unexpired.ts'
import { messageColumns } from './columns.ts'

/** A message that a session names, at a time. */
export interface MessageId {
  sessionId: string
  id: string
  now: Date
}

/** Returns what the statements of this file take: one session, and ids in it. */
export function messageIds(sessionId: string, ids: readonly string[], now: Date): MessageId[] {
  return ids.map((id) => ({ sessionId, id, now }))
}

/** Returns how the messages of one session are found by their ids, and the ids. */
function lookupOf(db: Builder, rows: readonly MessageId[]) {
  const [{ sessionId, now }] = rows as [MessageId] // a rows statement has a row
  const { messages: table } = db.tables
  const scope = inUnexpiredSession(db, table, sessionId, now)
  return [{ table, column: table.id, scope }, rows.map(({ id }) => id)] as const
}

/** Returns the condition of the messages of one session that have one of the ids. */
export function hasIds(db: Builder, rows: readonly MessageId[]): SQL | undefined {
  return isLookedUp(db, ...lookupOf(db, rows))
}

/** Returns the source and the condition of a query of the messages of one session that have one of the ids. */
export function withIds(db: Builder, rows: readonly MessageId[]) {
  return lookedUp(db, ...lookupOf(db, rows))
}

export const selectByIds = rowsStatement((db, rows: MessageId[]) => {
  const { source, condition } = withIds(db, rows)
  return db.orm
    .select(namedColumns(messageColumns(db.tables)))
    .from(source)
    .where(condition)
})

/** Makes the expression of a message's seq: null if the session has no such message. */
export function seqOf(db: Builder, { sessionId, id, now }: MessageId): SQL {
  const { messages: m } = db.tables
  return sql`(select ${m.seq} from ${m} where ${and(inUnexpiredSession(db, m, sessionId, now), eq(m.id, id))})`
}
