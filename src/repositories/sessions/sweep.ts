import { and, asc, eq, lte, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Db } from '../../database/db.ts'
import { sweepableBefore } from '../../database/expiry.ts'
import { NOBODY, ownerOfNames } from '../../database/owner.ts'
import { type Builder, statement } from '../../database/statement.ts'
import { MOST_ROWS, Pace } from '../../maintenance/pace.ts'
import { hasOwner } from '../../schema/has-owner.ts'
import type { Tables } from '../../schema/tables.ts'
import type { RepositoryContext } from '../context.ts'
import { homeOfOwner } from './home.ts'
import { cachedRowsOf, removeIfExpired } from './removal.ts'
import { hasManyRows } from './rows-of-session.ts'

/** A session, and when it must have expired. */
interface Expired {
  id: string
  now: Date
}

/** How many expired sessions are read at a time. */
const BATCH_SIZE = 100

const selectExpired = statement(({ orm, tables: { sessions: s, events } }, arg: { now: Date; limit: number }) =>
  orm
    .select({
      id: s.id,
      ownerId: s.ownerId,
      messageCount: s.messageCount,
      hasManyEvents: hasManyRows(events, s).as('has_many_events'),
    })
    .from(s)
    .where(lte(s.expiresAt, arg.now))
    .orderBy(s.expiresAt) // so that PostgreSQL takes the index instead of the first rows it finds
    .limit(arg.limit),
)

function isExpired(db: Builder, { id, now }: Expired): SQL {
  const { sessions: s } = db.tables
  return and(eq(s.id, id), eq(s.ownerId, ownerOfNames(db)), lte(s.expiresAt, now)) as SQL // given conditions
}

/** Locks the row of a session, if it has expired, and counts the messages that are about to be removed. */
const subtractIfExpired = statement((db, arg: Expired & { messages: number }) =>
  db.orm
    .update(db.tables.sessions)
    .set({ messageCount: sql`${db.tables.sessions.messageCount} - cast(${arg.messages} as integer)` })
    .where(isExpired(db, arg))
    .returning({ id: db.tables.sessions.id }),
)

type Kind = 'messages' | 'events'

const deleteFirst = {
  messages: deletions(({ messages: m }) => [m, m.sessionId, m.seq]),
  events: deletions(({ events: v }) => [v, v.sessionId, v.seq]),
}

/** Makes the statements that delete the first rows of a session, for somebody's and for nobody's, as their indexes differ. */
function deletions(of: (tables: Tables) => [table: Tables[Kind], sessionId: PgColumn, seq: PgColumn]) {
  const deletionOf = (isSomebodys: (table: Tables[Kind]) => SQL | undefined) =>
    statement((db, arg: { id: string; limit: number }) => {
      const [table, sessionId, seq] = of(db.tables)
      const isIts = and(eq(sessionId, arg.id), eq(table.ownerId, ownerOfNames(db)), isSomebodys(table))
      const first = db.orm.select({ seq }).from(table).where(isIts).orderBy(asc(seq)).limit(arg.limit)
      return db.orm
        .delete(table)
        .where(and(isIts, sql`${seq} in ${first}`))
        .returning({ seq: table.seq })
    })
  return { ofSomebody: deletionOf(hasOwner), ofNobody: deletionOf(() => undefined) }
}

/**
 * Removes up to `limit` messages or events of a session of the handle's owner, if it has expired: nobody reads it any more.
 * Returns the number removed.
 */
function removeSome(db: Db, kind: Kind, { id, now, limit }: Expired & { limit: number }): Promise<number> {
  return db.transaction(async (tx) => {
    if ((await subtractIfExpired.first(tx, { id, now, messages: 0 })) === undefined) return 0
    const { ofSomebody, ofNobody } = deleteFirst[kind]
    const rows = (await (db.owner === NOBODY ? ofNobody : ofSomebody).all(tx, { id, limit })).length
    if (kind === 'messages') await subtractIfExpired.all(tx, { id, now, messages: rows })
    return rows
  })
}

/**
 * Removes the sessions that have expired, with everything that belongs to them. Each goes in a transaction of its own. What
 * it has too much of goes before it, in steps: writers wait for a transaction, and SQLite blocks the process as long. Returns
 * the number of sessions removed.
 */
export async function sweepSessions(db: Db, { cache, confirmedNow }: RepositoryContext): Promise<number> {
  const now = sweepableBefore(await confirmedNow(db))
  const clock = { now, confirmedNow: async () => now }
  const pace = new Pace(db.dialect)
  let removed = 0
  for (;;) {
    const expired = await selectExpired.all(db, { now, limit: BATCH_SIZE })
    for (const { id, ownerId, messageCount, hasManyEvents } of expired) {
      const home = homeOfOwner(db, cache, ownerId)
      const removeStep = (kind: Kind) => pace.step(() => removeSome(home.db, kind, { id, now, limit: pace.rows }))
      for (let left = messageCount, rows = 1; left > MOST_ROWS && rows > 0; left -= rows)
        rows = await removeStep('messages')
      for (let rows = hasManyEvents ? 1 : 0; rows > 0; ) rows = await removeStep('events')
      const remove = (handle = home.db) => removeIfExpired(handle, id, clock)
      if (await home.cache.write(cachedRowsOf(id), remove)) removed++
    }
    if (expired.length < BATCH_SIZE) return removed
  }
}
