import { and, eq, gt, lte, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { batchOfSession } from '../../database/decided-db.ts'
import { type Builder, rowsStatement, statement } from '../../database/statement.ts'
import { MAX_INTEGER } from '../../validation/input.ts'
import { type Activity, activityAt, laterOf } from '../sessions/activity.ts'
import { inUnexpiredSession, isUnexpiredSession, sessionPresence } from '../sessions/unexpired.ts'
import { hasIds, type MessageId, messageIds } from './by-id.ts'
import { messageColumns } from './columns.ts'
import type { Message } from './types.ts'

interface Target {
  sessionId: string
  now: Date
}

/** Messages with a seq greater than the first bound, up to and including the second. */
interface Range extends Target {
  afterSeq: number
  throughSeq: number
}

// PostgreSQL expects a third of all messages to match a condition without an upper bound.
function isInRange(db: Builder, arg: Range) {
  const { messages: m } = db.tables
  return and(inUnexpiredSession(db, m, arg.sessionId, arg.now), gt(m.seq, arg.afterSeq), lte(m.seq, arg.throughSeq))
}

/** Locks a session's row, as an append does. */
export const lockSession = statement((db, arg: Target & Activity) => {
  const { sessions: s } = db.tables
  return db.orm
    .update(s)
    .set({ lastActiveAt: laterOf(s.lastActiveAt, arg) })
    .where(isUnexpiredSession(db, arg.sessionId, arg.now))
    .returning({ messageCount: s.messageCount })
})

/** Subtracts the messages of a range from the session's counter, before they are deleted. */
export const subtractRange = statement((db, arg: Range) => subtraction(db, arg, isInRange(db, arg)))

export const deleteRange = statement((db, arg: Range) => db.orm.delete(db.tables.messages).where(isInRange(db, arg)))

function subtraction(db: Builder, { sessionId, now }: Target, areGone: SQL | undefined) {
  const { messages: m, sessions: s } = db.tables
  return db.orm
    .update(s)
    .set({ messageCount: sql`${s.messageCount} - (select count(*) from ${m} where ${areGone})` })
    .where(isUnexpiredSession(db, sessionId, now))
    .returning({ messageCount: s.messageCount })
}

const subtractMessages = rowsStatement((db, rows: MessageId[]) => {
  const [first] = rows as [MessageId] // a rows statement has a row
  return subtraction(db, first, hasIds(db, rows))
})

const deleteMessages = rowsStatement((db, rows: MessageId[]) =>
  db.orm.delete(db.tables.messages).where(hasIds(db, rows)),
)

/** Makes the expression of the seq of a session's newest message: null if there is none. */
export function newestSeq(db: Builder, { sessionId, now }: Target): SQL {
  const { messages: m } = db.tables
  return sql`(select max(${m.seq}) from ${m} where ${inUnexpiredSession(db, m, sessionId, now)})`
}

const deleteNewest = statement((db, arg: Target) => {
  const { messages: m } = db.tables
  return db.orm
    .delete(m)
    .where(and(inUnexpiredSession(db, m, arg.sessionId, arg.now), eq(m.seq, newestSeq(db, arg))))
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
  const calls = [
    lockSession.with({ ...target, ...activityAt(now) }),
    deleteNewest.with(target),
    decrementCount.with(target),
  ] as const
  const [, [removed]] = await batchOfSession(db, target, calls, sessionPresence.with(target))
  return removed
}

/** Removes messages with a greater seq. Returns the number removed. */
export async function truncateMessages(db: Db, sessionId: string, afterSeq: number, now: Date): Promise<number> {
  const range = { sessionId, afterSeq, throughSeq: MAX_INTEGER, now }
  const calls = [
    lockSession.with({ ...range, ...activityAt(now) }),
    subtractRange.with(range),
    deleteRange.with(range),
  ] as const
  const [[before], [after]] = await batchOfSession(db, range, calls, sessionPresence.with(range))
  return before && after ? before.messageCount - after.messageCount : 0
}

/** Removes messages by their ids. Returns the number removed. */
export async function removeMessages(db: Db, sessionId: string, ids: readonly string[], now: Date): Promise<number> {
  const rows = messageIds(sessionId, ids, now)
  const subtractions = subtractMessages.with(rows)
  const deletions = deleteMessages.with(rows)
  const lock = lockSession.with({ sessionId, ...activityAt(now) })
  const calls = [lock, ...subtractions.flatMap((each, i) => [each, ...deletions.slice(i, i + 1)])]
  const target = { sessionId, now }
  const results = await batchOfSession(db, target, calls, sessionPresence.with(target))
  const counts = results.flat().map(({ messageCount }) => messageCount)
  return (counts[0] ?? 0) - (counts.at(-1) ?? 0)
}
