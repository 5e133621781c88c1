import { and, asc, count, eq, lte, not, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { keyset } from '../../database/paging/keyset.ts'
import { type Builder, statement } from '../../database/statement.ts'
import { MAX_INTEGER } from '../../validation/input.ts'
import { EARLIEST } from '../../validation/instants.ts'
import { isSessionInUse } from './in-use.ts'
import type { Rule, RuleContext } from './rule.ts'

/** One life of a session. A session that is deleted and created again counts its messages from 1 again. */
export interface Incarnation {
  id: string
  ownerId: string
  createdAt: Date
}

/** A session, and the time since which a running execution needs it. */
export type PrunedSession = Incarnation & Pick<RuleContext, 'runningSince'>

/** Returns the condition that a row of sessions is this incarnation, and that nothing needs it. */
export function isUnused(db: Builder, arg: PrunedSession): SQL {
  const { sessions: s } = db.tables
  const isSession = and(eq(s.id, arg.id), eq(s.ownerId, arg.ownerId), eq(s.createdAt, arg.createdAt))
  return and(isSession, not(isSessionInUse(db.tables, s, arg.runningSince))) as SQL // given conditions
}

interface Page {
  lastActiveAt: Date
  id: string
  ownerId: string
  limit: number
}

/** Returns the condition of the sessions that follow a place in the order of their activity, and that order. */
export function followingSession(db: Builder, { lastActiveAt, id, ownerId }: Omit<Page, 'limit'>) {
  const { sessions: s } = db.tables
  const columns = [s.lastActiveAt, s.id, s.ownerId]
  return keyset(db.dialect, { columns, order: 'asc', after: [lastActiveAt, id, ownerId] })
}

/**
 * Selects the sessions that follow another in the order of their activity: a session that becomes active meanwhile moves
 * to where the walk has yet to come. `mayHaveOld` is true if the oldest message is old and nothing needs the session.
 */
const selectSessions = statement((db, arg: Page & { before: Date } & Pick<RuleContext, 'runningSince'>) => {
  const { sessions: s, messages: m } = db.tables
  const isOfSession = sql`${m.sessionId} = ${s.id} and ${m.ownerId} = ${s.ownerId}`
  const oldest = sql`(select ${m.createdAt} from ${m} where ${isOfSession} order by ${m.seq} limit 1)`
  const isOld = sql`${oldest} <= ${sql.param(arg.before, m.createdAt)}`
  const { condition, orderBy } = followingSession(db, arg)
  return db.orm
    .select({
      id: s.id,
      ownerId: s.ownerId,
      createdAt: s.createdAt,
      lastActiveAt: s.lastActiveAt,
      updatedAt: s.updatedAt,
      mayHaveOld: sql`case when ${isOld} then not ${isSessionInUse(db.tables, s, arg.runningSince)} else false end`
        .mapWith(Boolean)
        .as('may_have_old'),
    })
    .from(s)
    .where(condition)
    .orderBy(...orderBy)
    .limit(arg.limit)
})

const selectOldest = statement(({ orm, tables: { messages: m } }, arg: Incarnation & { limit: number }) =>
  orm
    .select({ seq: m.seq, createdAt: m.createdAt })
    .from(m)
    .where(and(eq(m.sessionId, arg.id), eq(m.ownerId, arg.ownerId)))
    .orderBy(asc(m.seq))
    .limit(arg.limit),
)

const countOld = statement(({ orm, tables: { messages: m } }, arg: Incarnation & { before: Date; none: number }) => {
  const isOfSession = and(eq(m.sessionId, arg.id), eq(m.ownerId, arg.ownerId))
  const firstYoung = sql`(select min(${m.seq}) from ${m} where ${isOfSession} and ${m.createdAt} > ${sql.param(arg.before, m.createdAt)})`
  return orm
    .select({ rows: count() })
    .from(m)
    .where(and(isOfSession, sql`${m.seq} < coalesce(${firstYoung}, cast(${arg.none} as integer))`))
})

/** Locks the session's row, as an append does. Unlike an append, leaves the time of its activity alone. */
const lockIfUnused = statement((db, arg: PrunedSession) =>
  db.orm
    .update(db.tables.sessions)
    .set({ lastSeq: sql`${db.tables.sessions.lastSeq}` })
    .where(isUnused(db, arg))
    .returning({ lastActiveAt: db.tables.sessions.lastActiveAt }),
)

const deleteThrough = statement(
  ({ orm, tables: { messages: m } }, arg: Incarnation & { throughSeq: number; before: Date }) =>
    orm
      .delete(m)
      .where(
        and(
          eq(m.sessionId, arg.id),
          eq(m.ownerId, arg.ownerId),
          lte(m.seq, arg.throughSeq),
          lte(m.createdAt, arg.before),
        ),
      )
      .returning({ seq: m.seq }),
)

const subtract = statement(({ orm, tables: { sessions: s } }, arg: Incarnation & { rows: number }) =>
  orm
    .update(s)
    .set({ messageCount: sql`${s.messageCount} - cast(${arg.rows} as integer)` })
    .where(and(eq(s.id, arg.id), eq(s.ownerId, arg.ownerId))),
)

/**
 * Removes up to `limit` of the oldest messages of a session, up to the first that is younger than `before`: what stays is
 * the end of the conversation without a gap. Removes nothing if `mayRemove`, which is given the session's last activity,
 * returns false. Returns the number removed.
 */
export async function removeOldest(
  db: Db,
  { id, ownerId, createdAt, runningSince }: PrunedSession,
  {
    before,
    limit,
    mayRemove = () => true,
  }: { before: Date; limit: number; mayRemove?: (lastActiveAt: Date) => boolean },
): Promise<number> {
  const session = { id, ownerId, createdAt }
  const oldest = await selectOldest.all(db, { ...session, limit })
  const firstYoung = oldest.findIndex((message) => message.createdAt > before)
  const last = firstYoung === -1 ? oldest.at(-1) : oldest[firstYoung - 1]
  if (last === undefined) return 0
  return db.transaction(async (tx) => {
    const locked = await lockIfUnused.first(tx, { ...session, runningSince })
    if (locked === undefined || !mayRemove(locked.lastActiveAt)) return 0
    const rows = (await deleteThrough.all(tx, { ...session, throughSeq: last.seq, before })).length
    if (rows > 0) await subtract.all(tx, { ...session, rows })
    return rows
  })
}

/** How many sessions are looked at in one statement. */
const SESSIONS = 200

/** Yields pages of sessions, the one that was idle for the longest first. */
export async function* sessionsByActivity<Row extends { id: string; ownerId: string; lastActiveAt: Date }>(
  { pace }: Pick<RuleContext, 'pace'>,
  select: (page: Page) => Promise<Row[]>,
): AsyncGenerator<Row[]> {
  let after: Omit<Page, 'limit'> = { lastActiveAt: EARLIEST, id: '', ownerId: '' }
  for (;;) {
    const page = await pace.look(() => select({ ...after, limit: SESSIONS }))
    yield page
    const last = page.at(-1)
    if (last === undefined || page.length < SESSIONS) return
    after = { lastActiveAt: last.lastActiveAt, id: last.id, ownerId: last.ownerId }
  }
}

/** Removes the old beginning of conversations. Looks at every session: a message may be older than its session. */
export const oldMessages: Rule = async function* ({ db, pace, dryRun, idleBefore, runningSince }, before) {
  for await (const page of sessionsByActivity({ pace }, (from) =>
    selectSessions.all(db, { ...from, before, runningSince }),
  )) {
    yield { table: 'messages', rows: 0 }
    for (const session of page) {
      const { lastActiveAt, updatedAt, mayHaveOld } = session
      if (!mayHaveOld) continue
      if (idleBefore && lastActiveAt <= idleBefore && updatedAt <= idleBefore) continue
      if (dryRun) {
        const { id, ownerId, createdAt } = session
        const counted = await countOld.first(db, { id, ownerId, createdAt, before, none: MAX_INTEGER })
        yield { table: 'messages', rows: counted?.rows ?? 0 }
        continue
      }
      for (let limit = 0, rows = 0; rows === limit; ) {
        limit = pace.rows
        rows = await pace.step(() => removeOldest(db, { ...session, runningSince }, { before, limit }))
        yield { table: 'messages', rows }
      }
    }
  }
}
