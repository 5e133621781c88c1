import { and, asc, eq, type SQL, sql } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'
import type { Db } from '../database/db.ts'

/** A counter that a table keeps of the rows of another one. */
export interface Counter {
  /** The table whose rows are counted. */
  of: 'messages' | 'listItems' | 'queueItems'
  /** Returns the primary keys of the rows whose counter differs from a count. */
  wrong(db: Db): Promise<string[][]>
  /** Counts again. The row is locked first, so that nobody adds or removes anything meanwhile. Safe to repeat. */
  recount(db: Db, key: readonly string[]): Promise<void>
}

const countOf = () => sql`count(*)`.mapWith(Number)
const counted = (table: PgTable, condition: SQL | undefined) => sql`(select count(*) from ${table} where ${condition})`

/** The number of a session's messages, and the greatest seq that a message had. */
const sessions: Counter = {
  of: 'messages',
  async wrong({ orm, tables: { sessions: s, messages: m } }) {
    const isOfIt = and(eq(m.sessionId, s.id), eq(m.ownerId, s.ownerId))
    const last = sql`coalesce((select max(${m.seq}) from ${m} where ${isOfIt}), 0)`
    const isWrong = sql`${s.messageCount} <> ${counted(m, isOfIt)} or ${s.lastSeq} < ${last}`
    const rows = await orm.select({ id: s.id, ownerId: s.ownerId }).from(s).where(isWrong)
    return rows.map(({ id, ownerId }) => [id, ownerId])
  },
  recount(db, [id = '', ownerId = '']) {
    const { sessions: s, messages: m } = db.tables
    const isIt = and(eq(s.id, id), eq(s.ownerId, ownerId))
    const isOfIt = and(eq(m.sessionId, id), eq(m.ownerId, ownerId))
    return db.transaction(async (tx) => {
      const lock = { messageCount: sql`${s.messageCount}` }
      await tx.orm.update(s).set(lock).where(isIt)
      const last = sql`coalesce(max(${m.seq}), 0)`.mapWith(Number)
      const [found] = await tx.orm.select({ messageCount: countOf(), last }).from(m).where(isOfIt)
      if (found === undefined) return
      const { messageCount } = found
      // A smaller lastSeq would give a seq again. A greater one is right: the last messages were removed.
      const lastSeq = sql`case when ${s.lastSeq} < ${found.last} then ${found.last} else ${s.lastSeq} end`
      await tx.orm.update(s).set({ messageCount, lastSeq }).where(isIt)
    })
  },
}

/** The length of a list, whose positions have no gaps. */
const lists: Counter = {
  of: 'listItems',
  async wrong({ orm, tables: { lists: l, listItems: i } }) {
    const isOfIt = and(eq(i.ownerId, l.ownerId), eq(i.key, l.key))
    const isWrong = sql`${l.length} <> ${counted(i, isOfIt)}`
    const rows = await orm.select({ ownerId: l.ownerId, key: l.key }).from(l).where(isWrong)
    return rows.map(({ ownerId, key }) => [ownerId, key])
  },
  recount(db, [ownerId = '', key = '']) {
    const { lists: l, listItems: i } = db.tables
    const isIt = and(eq(l.ownerId, ownerId), eq(l.key, key))
    const isOfIt = and(eq(i.ownerId, ownerId), eq(i.key, key))
    return db.transaction(async (tx) => {
      const lock = { length: sql`${l.length}` }
      await tx.orm.update(l).set(lock).where(isIt)
      const items = await tx.orm.select({ position: i.position }).from(i).where(isOfIt).orderBy(asc(i.position))
      // In this order no position is taken: each goes to where one before it was.
      for (const [position, item] of items.entries()) {
        if (item.position === position) continue
        const isItem = and(isOfIt, eq(i.position, item.position))
        await tx.orm.update(i).set({ position }).where(isItem)
      }
      await tx.orm.update(l).set({ length: items.length }).where(isIt)
    })
  },
}

/** The positions of a queue that have no item. */
const queues: Counter = {
  of: 'queueItems',
  async wrong({ orm, tables: { queues: q, queueItems: i } }) {
    const isOfIt = and(eq(i.sessionId, q.sessionId), eq(i.ownerId, q.ownerId), eq(i.queue, q.name))
    const isWrong = sql`${q.lastPosition} - ${q.gaps} <> ${counted(i, isOfIt)}`
    const rows = await orm.select({ sessionId: q.sessionId, ownerId: q.ownerId, name: q.name }).from(q).where(isWrong)
    return rows.map(({ sessionId, ownerId, name }) => [sessionId, ownerId, name])
  },
  recount(db, [sessionId = '', ownerId = '', name = '']) {
    const { queues: q, queueItems: i } = db.tables
    const isIt = and(eq(q.sessionId, sessionId), eq(q.ownerId, ownerId), eq(q.name, name))
    const isOfIt = and(eq(i.sessionId, sessionId), eq(i.ownerId, ownerId), eq(i.queue, name))
    return db.transaction(async (tx) => {
      const lock = { gaps: sql`${q.gaps}` }
      await tx.orm.update(q).set(lock).where(isIt)
      const [found] = await tx.orm.select({ rows: countOf() }).from(i).where(isOfIt)
      const gaps = sql`${q.lastPosition} - ${found?.rows ?? 0}`
      await tx.orm.update(q).set({ gaps }).where(isIt)
    })
  },
}

/** The counters, by the table that keeps them. */
export const COUNTERS = { sessions, lists, queues }
