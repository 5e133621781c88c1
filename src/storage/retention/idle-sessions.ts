import { and, eq, lte, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Db } from '../../database/db.ts'
import { type Builder, statement } from '../../database/statement.ts'
import { MOST_ROWS } from '../../maintenance/pace.ts'
import { removeFirstItems } from '../../repositories/queues/removal.ts'
import { homeOfOwner } from '../../repositories/sessions/home.ts'
import { cachedRowsOf, removeIfUnused } from '../../repositories/sessions/removal.ts'
import { hasManyRows } from '../../repositories/sessions/rows-of-session.ts'
import type { Tables } from '../../schema/tables.ts'
import { LATEST } from '../../validation/instants.ts'
import { isSessionInUse } from './in-use.ts'
import {
  followingSession,
  type Incarnation,
  isUnused,
  type PrunedSession,
  removeOldest,
  sessionsByActivity,
} from './old-messages.ts'
import type { Removed, Rule, RuleContext } from './rule.ts'

type TableOfSession = Tables['events' | 'queueItems' | 'sessionOperations']
type IdleBefore = PrunedSession & { before: Date }
type IdleBatch = IdleBefore & { limit: number }

/** A session that was idle. `hasMany...` is true if it has too many of these rows for one transaction. */
interface IdleSession extends Incarnation {
  lastActiveAt: Date
  messageCount: number
  /** True if the last change of the session is before the limit, too, and nothing needs the session. */
  isRemovable: boolean
  hasManyEvents: boolean
  hasManyItems: boolean
  hasManyOperations: boolean
}

const selectIdle = statement(
  (db, arg: { lastActiveAt: Date; id: string; ownerId: string; before: Date; runningSince: Date; limit: number }) => {
    const { sessions: s, events, queueItems, sessionOperations } = db.tables
    const isUnchanged = lte(s.updatedAt, arg.before)
    const { condition, orderBy } = followingSession(db, arg)
    return db.orm
      .select({
        id: s.id,
        ownerId: s.ownerId,
        createdAt: s.createdAt,
        lastActiveAt: s.lastActiveAt,
        messageCount: s.messageCount,
        isRemovable:
          sql`case when ${isUnchanged} then not ${isSessionInUse(db.tables, s, arg.runningSince)} else false end`
            .mapWith(Boolean)
            .as('is_removable'),
        hasManyEvents: hasManyRows(events, s).as('has_many_events'),
        hasManyItems: hasManyRows(queueItems, s).as('has_many_items'),
        hasManyOperations: hasManyRows(sessionOperations, s).as('has_many_operations'),
      })
      .from(s)
      .where(and(lte(s.lastActiveAt, arg.before), condition))
      .orderBy(...orderBy)
      .limit(arg.limit)
  },
)

/** Returns the condition that a row of sessions is this incarnation, and is still idle and unused. */
function isIdle(db: Builder, arg: IdleBefore): SQL {
  const { sessions: s } = db.tables
  return and(isUnused(db, arg), lte(s.lastActiveAt, arg.before), lte(s.updatedAt, arg.before)) as SQL // given conditions
}

const deleteIfIdle = statement((db, arg: IdleBefore) =>
  db.orm.delete(db.tables.sessions).where(isIdle(db, arg)).returning({ id: db.tables.sessions.id }),
)

const deleteSomeEvents = deletionOfSome(({ events }) => [events, [events.seq]])
const deleteSomeOperations = deletionOfSome(({ sessionOperations: o }) => [o, [o.sessionId, o.ownerId, o.id]])

/** Makes the statement that deletes some rows of a session that is still idle. */
function deletionOfSome(tableOf: (tables: Tables) => [table: TableOfSession, key: readonly PgColumn[]]) {
  return statement((db, arg: IdleBatch) => {
    const [table, key] = tableOf(db.tables)
    const some = db.orm
      .select(Object.fromEntries(key.map((column) => [column.name, column])))
      .from(table)
      .where(and(eq(table.sessionId, arg.id), eq(table.ownerId, arg.ownerId)))
      .limit(arg.limit)
    const columns = sql.join(
      key.map((column) => sql`${column}`),
      sql`, `,
    )
    const { sessions } = db.tables
    return db.orm
      .delete(table)
      .where(sql`(${columns}) in ${some} and exists (select 1 from ${sessions} where ${isIdle(db, arg)})`)
      .returning({ ownerId: table.ownerId })
  })
}

/** Locks the session's row by an update that changes nothing. */
const lockIfIdle = statement((db, arg: IdleBefore) => {
  const { sessions: s } = db.tables
  return db.orm
    .update(s)
    .set({ lastSeq: sql`${s.lastSeq}` })
    .where(isIdle(db, arg))
    .returning({ id: s.id })
})

const selectQueue = statement(({ orm, tables: { queueItems: i } }, arg: Incarnation) =>
  orm
    .select({ queue: i.queue })
    .from(i)
    .where(and(eq(i.sessionId, arg.id), eq(i.ownerId, arg.ownerId)))
    .limit(1),
)

/**
 * Removes the first items of a queue of a session that is still idle. If the session is used again meanwhile, the end of the
 * queue remains. Returns the number removed.
 */
function removeSomeItems(db: Db, { limit, ...session }: IdleBatch): Promise<number> {
  return db.transaction(async (tx) => {
    if ((await lockIfIdle.first(tx, session)) === undefined) return 0
    const found = await selectQueue.first(tx, session)
    return found === undefined ? 0 : removeFirstItems(tx, { sessionId: session.id, queue: found.queue }, limit)
  })
}

/**
 * Removes sessions that were idle, with everything that belongs to them. If a session has too many rows for one transaction, the
 * rows are removed in batches before the session.
 */
export const idleSessions: Rule = async function* (context, before) {
  const { db, pace, dryRun, runningSince } = context
  for await (const page of sessionsByActivity({ pace }, (from) =>
    selectIdle.all(db, { ...from, before, runningSince }),
  )) {
    yield { table: 'sessions', rows: 0 }
    for (const session of page) {
      if (!session.isRemovable) continue
      if (dryRun) yield { table: 'sessions', rows: 1 }
      else yield* removeIdle(context, session, before)
    }
  }
}

async function* removeIdle(
  { db, rowCache, pace, runningSince }: RuleContext,
  { id, ownerId, createdAt, ...has }: IdleSession,
  before: Date,
): AsyncGenerator<Removed> {
  const session = { id, ownerId, createdAt, runningSince }
  const home = homeOfOwner(db, rowCache, ownerId)
  const mayRemove = (lastActiveAt: Date) => lastActiveAt <= before
  const batchOf = (limit: number) => ({ ...session, before, limit })
  const batches = [
    has.hasManyEvents && (async (limit: number) => (await deleteSomeEvents.all(db, batchOf(limit))).length),
    has.hasManyItems && ((limit: number) => removeSomeItems(home.db, batchOf(limit))),
    has.hasManyOperations && (async (limit: number) => (await deleteSomeOperations.all(db, batchOf(limit))).length),
  ]
  for (const removeSome of batches) {
    if (!removeSome) continue
    while ((await pace.step(() => removeSome(pace.rows))) > 0) yield { table: 'sessions', rows: 0 }
  }
  for (let left = has.messageCount; left > MOST_ROWS; ) {
    // An idle session is removed with all of its messages.
    const rows = await pace.step(() => removeOldest(db, session, { before: LATEST, limit: pace.rows, mayRemove }))
    yield { table: 'sessions', rows: 0 }
    if (rows === 0) return // the session is in use again
    left -= rows
  }
  const remove = (handle = home.db) =>
    removeIfUnused(handle, id, (tx) => deleteIfIdle.first(tx, { ...session, before }))
  const isRemoved = await pace.step(() => home.cache.write(cachedRowsOf(id), remove))
  yield { table: 'sessions', rows: isRemoved ? 1 : 0 }
}
