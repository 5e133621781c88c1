import { and, eq, gt, lte, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { batch, statement } from '../../database/statement.ts'
import type { Tables } from '../../schema/tables.ts'
import { MAX_INTEGER } from '../../validation/input.ts'
import { type Activity, activityAt, laterOf } from '../sessions/activity.ts'
import { inUnexpiredSession, isUnexpiredSession } from '../sessions/unexpired.ts'
import type { Message } from './types.ts'

interface Target {
  sessionId: string
  now: Date
}

// Without the upper bound PostgreSQL expects a third of all messages to match.
const isAfterSeq = ({ messages: m }: Tables, arg: Target & { afterSeq: number }) =>
  and(eq(m.sessionId, arg.sessionId), gt(m.seq, arg.afterSeq), lte(m.seq, MAX_INTEGER))

const lockSession = statement(({ orm, tables }, arg: Target & Activity) =>
  orm
    .update(tables.sessions)
    .set({ lastActiveAt: laterOf(tables.sessions.lastActiveAt, arg) })
    .where(isUnexpiredSession(tables, arg.sessionId, arg.now))
    .returning({ messageCount: tables.sessions.messageCount }),
)

/** Subtracts the messages after a seq from the session's counter, before they are deleted. */
const subtractFromCount = statement(({ orm, tables }, arg: Target & { afterSeq: number }) => {
  const { messages: m, sessions: s } = tables
  return orm
    .update(s)
    .set({ messageCount: sql`${s.messageCount} - (select count(*) from ${m} where ${isAfterSeq(tables, arg)})` })
    .where(isUnexpiredSession(tables, arg.sessionId, arg.now))
    .returning({ messageCount: s.messageCount })
})

const deleteAfterSeq = statement(({ orm, tables }, arg: Target & { afterSeq: number }) =>
  orm.delete(tables.messages).where(and(isAfterSeq(tables, arg), inUnexpiredSession(tables, arg.sessionId, arg.now))),
)

const deleteNewest = statement(({ orm, tables }, arg: Target) => {
  const { messages: m } = tables
  const newestSeq: SQL = sql`(select max(${m.seq}) from ${m} where ${eq(m.sessionId, arg.sessionId)})`
  return orm
    .delete(m)
    .where(
      and(eq(m.sessionId, arg.sessionId), eq(m.seq, newestSeq), inUnexpiredSession(tables, arg.sessionId, arg.now)),
    )
    .returning()
})

const decrementCount = statement(({ orm, tables }, arg: Target) => {
  const { sessions: s } = tables
  return orm
    .update(s)
    .set({ messageCount: sql`${s.messageCount} - 1` })
    .where(and(isUnexpiredSession(tables, arg.sessionId, arg.now), gt(s.messageCount, 0)))
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
