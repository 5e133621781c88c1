import { and, eq, gt, lte, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { type Builder, batch, statement } from '../../database/statement.ts'
import { MAX_INTEGER } from '../../validation/input.ts'
import { type Activity, activityAt, laterOf } from '../sessions/activity.ts'
import { inUnexpiredSession, isUnexpiredSession } from '../sessions/unexpired.ts'
import { messageColumns } from './columns.ts'
import type { Message } from './types.ts'

interface Target {
  sessionId: string
  now: Date
}

// Without the upper bound PostgreSQL expects a third of all messages to match.
function isAfterSeq(db: Builder, arg: Target & { afterSeq: number }) {
  const { messages: m } = db.tables
  return and(inUnexpiredSession(db, m, arg.sessionId, arg.now), gt(m.seq, arg.afterSeq), lte(m.seq, MAX_INTEGER))
}

const lockSession = statement((db, arg: Target & Activity) => {
  const { sessions: s } = db.tables
  return db.orm
    .update(s)
    .set({ lastActiveAt: laterOf(s.lastActiveAt, arg) })
    .where(isUnexpiredSession(db, arg.sessionId, arg.now))
    .returning({ messageCount: s.messageCount })
})

/** Subtracts the messages after a seq from the session's counter, before they are deleted. */
const subtractFromCount = statement((db, arg: Target & { afterSeq: number }) => {
  const { messages: m, sessions: s } = db.tables
  return db.orm
    .update(s)
    .set({ messageCount: sql`${s.messageCount} - (select count(*) from ${m} where ${isAfterSeq(db, arg)})` })
    .where(isUnexpiredSession(db, arg.sessionId, arg.now))
    .returning({ messageCount: s.messageCount })
})

const deleteAfterSeq = statement((db, arg: Target & { afterSeq: number }) =>
  db.orm.delete(db.tables.messages).where(isAfterSeq(db, arg)),
)

const deleteNewest = statement((db, arg: Target) => {
  const { messages: m } = db.tables
  const isOfSession = inUnexpiredSession(db, m, arg.sessionId, arg.now)
  const newestSeq: SQL = sql`(select max(${m.seq}) from ${m} where ${isOfSession})`
  return db.orm
    .delete(m)
    .where(and(isOfSession, eq(m.seq, newestSeq)))
    .returning(messageColumns(db.tables))
})

const decrementCount = statement((db, arg: Target) => {
  const { sessions: s } = db.tables
  return db.orm
    .update(s)
    .set({ messageCount: sql`${s.messageCount} - 1` })
    .where(and(isUnexpiredSession(db, arg.sessionId, arg.now), gt(s.messageCount, 0)))
})

/** Removes the newest message and returns it, if there is one. Locks the session's row first, as an append does. */
export async function popMessage(db: Db, sessionId: string, now: Date): Promise<Message | undefined> {
  const target = { sessionId, now }
  const [, [removed]] = await batch(db, [
    lockSession.with({ ...target, ...activityAt(now) }),
    deleteNewest.with(target),
    decrementCount.with(target),
  ])
  return removed
}

/** Removes messages with a greater seq. Returns the number removed. */
export async function truncateMessages(db: Db, sessionId: string, afterSeq: number, now: Date): Promise<number> {
  const target = { sessionId, afterSeq, now }
  const [[before], [after]] = await batch(db, [
    lockSession.with({ ...target, ...activityAt(now) }),
    subtractFromCount.with(target),
    deleteAfterSeq.with(target),
  ])
  return before && after ? before.messageCount - after.messageCount : 0
}
