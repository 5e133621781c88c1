import { and, asc, eq, type SQL, sql } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'
import type { Cell } from '../database/bulk/table.ts'
import type { Db } from '../database/db.ts'
import type { Outcomes } from './outcomes.ts'

/**
 * Corrects the counters of rows that were written although some of what they count was refused: the number of a session's
 * messages, the length of a list, the gaps of a queue. Safe to repeat.
 */
export async function recount(db: Db, outcomes: Outcomes): Promise<void> {
  const { sessions: s, messages: m, lists: l, listItems: li, queues: q, queueItems: qi } = db.tables
  const counted = (table: PgTable, condition: SQL | undefined) =>
    sql`(select count(*) from ${table} where ${condition})`
  const isOfSession = and(eq(m.sessionId, s.id), eq(m.ownerId, s.ownerId))
  const isOfList = and(eq(li.ownerId, l.ownerId), eq(li.key, l.key))
  const isOfQueue = and(eq(qi.sessionId, q.sessionId), eq(qi.ownerId, q.ownerId), eq(qi.queue, q.name))

  for (const key of outcomes.incomplete('sessions')) await recountSession(db, key)
  for (const key of outcomes.incomplete('lists')) await recountList(db, key)
  for (const key of outcomes.incomplete('queues')) await recountQueue(db, key)
  // Nobody knows where these belong, so all counters are looked at.
  if (outcomes.hasUnreadable('messages')) {
    const isWrong = sql`${s.messageCount} <> ${counted(m, isOfSession)}`
    for (const row of await db.orm.select({ id: s.id, ownerId: s.ownerId }).from(s).where(isWrong)) {
      await recountSession(db, [row.id, row.ownerId])
    }
  }
  if (outcomes.hasUnreadable('listItems')) {
    const isWrong = sql`${l.length} <> ${counted(li, isOfList)}`
    for (const row of await db.orm.select({ ownerId: l.ownerId, key: l.key }).from(l).where(isWrong)) {
      await recountList(db, [row.ownerId, row.key])
    }
  }
  if (outcomes.hasUnreadable('queueItems')) {
    const isWrong = sql`${q.lastPosition} - ${q.gaps} <> ${counted(qi, isOfQueue)}`
    const fields = { sessionId: q.sessionId, ownerId: q.ownerId, name: q.name }
    for (const row of await db.orm.select(fields).from(q).where(isWrong)) {
      await recountQueue(db, [row.sessionId, row.ownerId, row.name])
    }
  }
}

/** Counts the messages of a session. Its row is locked first, so that no append comes between. */
function recountSession(db: Db, [id, ownerId]: Cell[]): Promise<void> {
  const { sessions: s, messages: m } = db.tables
  const isIt = and(eq(s.id, String(id)), eq(s.ownerId, String(ownerId)))
  return db.transaction(async (tx) => {
    await tx.orm
      .update(s)
      .set({ messageCount: sql`${s.messageCount}` })
      .where(isIt)
    const isOfIt = and(eq(m.sessionId, String(id)), eq(m.ownerId, String(ownerId)))
    const [counted] = await tx.orm.select({ rows: countOf() }).from(m).where(isOfIt)
    if (counted === undefined) return
    await tx.orm.update(s).set({ messageCount: counted.rows }).where(isIt)
  })
}

/** Closes the gaps in the positions of a list, and sets its length. */
function recountList(db: Db, [ownerId, key]: Cell[]): Promise<void> {
  const { lists: l, listItems: i } = db.tables
  const isIt = and(eq(l.ownerId, String(ownerId)), eq(l.key, String(key)))
  const isOfIt = and(eq(i.ownerId, String(ownerId)), eq(i.key, String(key)))
  return db.transaction(async (tx) => {
    await tx.orm
      .update(l)
      .set({ length: sql`${l.length}` })
      .where(isIt)
    const items = await tx.orm.select({ position: i.position }).from(i).where(isOfIt).orderBy(asc(i.position))
    // In this order no position is taken: each goes to where one before it was.
    for (const [position, item] of items.entries()) {
      if (item.position !== position)
        await tx.orm
          .update(i)
          .set({ position })
          .where(and(isOfIt, eq(i.position, item.position)))
    }
    await tx.orm.update(l).set({ length: items.length }).where(isIt)
  })
}

/** Counts the positions of a queue that have no item. */
function recountQueue(db: Db, [sessionId, ownerId, name]: Cell[]): Promise<void> {
  const { queues: q, queueItems: i } = db.tables
  const isIt = and(eq(q.sessionId, String(sessionId)), eq(q.ownerId, String(ownerId)), eq(q.name, String(name)))
  const isOfIt = and(eq(i.sessionId, String(sessionId)), eq(i.ownerId, String(ownerId)), eq(i.queue, String(name)))
  return db.transaction(async (tx) => {
    await tx.orm
      .update(q)
      .set({ gaps: sql`${q.gaps}` })
      .where(isIt)
    const [counted] = await tx.orm.select({ rows: countOf() }).from(i).where(isOfIt)
    await tx.orm
      .update(q)
      .set({ gaps: sql`${q.lastPosition} - ${counted?.rows ?? 0}` })
      .where(isIt)
  })
}

const countOf = () => sql`count(*)`.mapWith(Number)
