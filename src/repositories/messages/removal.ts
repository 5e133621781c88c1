import { and, eq, gt, lte, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { notExpired } from '../../database/expiry.ts'
import { batch, statement } from '../../database/statement.ts'
import type { Tables } from '../../schema/tables.ts'
import { MAX_INTEGER } from '../../validation/input.ts'
import { inUnexpiredSession } from '../sessions/unexpired.ts'
import type { Message } from './types.ts'

interface Target {
  sessionId: string
  now: Date
}

const isTarget = ({ sessions: s }: Tables, arg: Target) => and(eq(s.id, arg.sessionId), notExpired(s, arg.now))

const lockSession = statement(({ orm, tables }, arg: Target) =>
  orm
    .update(tables.sessions)
    .set({ lastActiveAt: arg.now })
    .where(isTarget(tables, arg))
    .returning({ messageCount: tables.sessions.messageCount }),
)

// The upper bound is for PostgreSQL, which else expects a third of the messages there.
const after = ({ messages: m }: Tables, arg: Target & { afterSeq: number }) =>
  and(eq(m.sessionId, arg.sessionId), gt(m.seq, arg.afterSeq), lte(m.seq, MAX_INTEGER))

const uncountAfter = statement(({ orm, tables }, arg: Target & { afterSeq: number }) => {
  const { messages: m, sessions: s } = tables
  return orm
    .update(s)
    .set({ messageCount: sql`${s.messageCount} - (select count(*) from ${m} where ${after(tables, arg)})` })
    .where(isTarget(tables, arg))
    .returning({ messageCount: s.messageCount })
})

const deleteAfter = statement(({ orm, tables }, arg: Target & { afterSeq: number }) =>
  orm.delete(tables.messages).where(and(after(tables, arg), inUnexpiredSession(tables, arg.sessionId, arg.now))),
)

const deleteLast = statement(({ orm, tables }, arg: Target) => {
  const { messages: m } = tables
  const last: SQL = sql`(select max(${m.seq}) from ${m} where ${eq(m.sessionId, arg.sessionId)})`
  return orm
    .delete(m)
    .where(and(eq(m.sessionId, arg.sessionId), eq(m.seq, last), inUnexpiredSession(tables, arg.sessionId, arg.now)))
    .returning()
})

const uncountOne = statement(({ orm, tables }, arg: Target) => {
  const { sessions: s } = tables
  return orm
    .update(s)
    .set({ messageCount: sql`${s.messageCount} - 1` })
    .where(and(isTarget(tables, arg), gt(s.messageCount, 0)))
})

/** Removes the newest message, if there is one. The session's row is locked first, in the order of appends. */
export async function popMessage(db: Db, sessionId: string, now: Date): Promise<Message | undefined> {
  const target = { sessionId, now }
  const [, [removed]] = await batch(db, [lockSession.with(target), deleteLast.with(target), uncountOne.with(target)])
  return removed
}

/** Removes what comes after a seq; how many. */
export async function truncateMessages(db: Db, sessionId: string, afterSeq: number, now: Date): Promise<number> {
  const target = { sessionId, afterSeq, now }
  const [[before], [left]] = await batch(db, [
    lockSession.with(target),
    uncountAfter.with(target),
    deleteAfter.with(target),
  ])
  return before && left ? before.messageCount - left.messageCount : 0
}
