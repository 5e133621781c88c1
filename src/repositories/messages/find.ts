import { setImmediate as nextTurn } from 'node:timers/promises'
import { sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { notExpired } from '../../database/expiry.ts'
import { joinEach, namedColumns } from '../../database/looked-up.ts'
import { isVisible } from '../../database/owner.ts'
import { pagedQuery } from '../../database/paging/list-query.ts'
import { statement } from '../../database/statement.ts'
import { messageColumns } from './columns.ts'
import { givenSessions, isOfGiven, pairsOf } from './given-sessions.ts'
import type { Message } from './types.ts'

/** How many sessions one statement lists. */
const PAGE_SESSIONS = 500
/**
 * How many keys one statement looks up. SQLite reads in the thread of the program, so a step takes a few milliseconds, and
 * other work goes on between two steps.
 */
const STEP_KEYS = 4000

/** All sessions by their creation: a session that becomes active during the walk keeps its place. */
const sessionsByCreation = pagedQuery({
  name: 'sessions to look into',
  select: ({ orm, tables: { sessions: s } }) =>
    orm.select({ id: s.id, ownerId: s.ownerId, createdAt: s.createdAt }).from(s),
  visible: (db) => isVisible(db, db.tables.sessions),
  filters: { now: ({ sessions }, now: Date) => notExpired(sessions, now) },
  orderBy: [
    { name: 'createdAt', kind: 'instant', column: ({ sessions }) => sessions.createdAt },
    { name: 'id', kind: 'text', column: ({ sessions }) => sessions.id },
    { name: 'ownerId', kind: 'text', column: ({ sessions }) => sessions.ownerId },
  ],
})

interface Step {
  /** See `pairsOf`. */
  sessions: string
  /** JSON of a list of ids of messages. */
  ids: string
}

/** Selects the messages of some sessions that have one of the ids, with the place of the session in the list. */
const findStep = statement((db, arg: Step) => {
  const isWanted = sql`${isOfGiven(db)} and ${db.tables.messages.id} = wanted.value`
  const wanted =
    db.dialect === 'sqlite'
      ? sql`json_each(${arg.ids}) wanted`
      : sql`json_array_elements_text(cast(${arg.ids} as json)) wanted`
  return db.orm
    .select({ place: sql`given.key`.mapWith(Number), ...namedColumns(messageColumns(db.tables)) })
    .from(givenSessions(db, arg.sessions))
    .crossJoin(sql`${wanted} ${joinEach(db, db.tables.messages, isWanted)}`)
})

/**
 * Finds messages by their ids alone. No index begins with the id of a message, which would slow every append: so this looks
 * into one session after the other, the one created last first, until every id is found.
 */
export async function findMessages(db: Db, now: Date, ids: readonly string[]): Promise<Message[]> {
  const found = new Map<string, Message>()
  const missing = new Set(ids)
  let cursor: string | undefined
  do {
    if (missing.size === 0) break
    const page = await sessionsByCreation(db, { now }, { limit: PAGE_SESSIONS, cursor }, 'desc')
    for (let next = 0; next < page.items.length && missing.size > 0; ) {
      const some = page.items.slice(next, next + Math.ceil(STEP_KEYS / missing.size))
      next += some.length
      const rows = await findStep.all(db, { sessions: pairsOf(some), ids: JSON.stringify([...missing]) })
      for (const { place: _, ...message } of rows.sort((a, b) => a.place - b.place)) {
        if (missing.delete(message.id)) found.set(message.id, message)
      }
      await nextTurn() // SQLite answers within the turn
    }
    cursor = page.nextCursor
  } while (cursor !== undefined)
  return ids.map((id) => found.get(id)).filter((message) => message !== undefined)
}
