import { and, eq, inArray, type SQL, sql } from 'drizzle-orm'
import { lookedUp, namedColumns } from '../../database/looked-up.ts'
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

/** Returns the condition of all messages of the session, and the ids. */
function given(db: Builder, rows: readonly MessageId[]): { scope: SQL; ids: string[] } {
  const [{ sessionId, now }] = rows as [MessageId] // a rows statement has a row
  return { scope: inUnexpiredSession(db, db.tables.messages, sessionId, now), ids: rows.map(({ id }) => id) }
}

/** Returns the condition of the messages of one session that have one of the ids. */
export function hasIds(db: Builder, rows: readonly MessageId[]): SQL {
  const { scope, ids } = given(db, rows)
  return and(scope, inArray(db.tables.messages.id, ids)) as SQL // given two conditions
}

/** Returns the source and the condition of a query of the messages of one session that have one of the ids. */
export function withIds(db: Builder, rows: readonly MessageId[]) {
  const { messages: table } = db.tables
  const { scope, ids } = given(db, rows)
  return lookedUp(db, { table, column: table.id, scope }, ids)
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
