import { setImmediate as nextTurn } from 'node:timers/promises'
import { sql } from 'drizzle-orm'
import * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { notExpired } from '../../database/expiry.ts'
import { joinEach } from '../../database/looked-up.ts'
import { isVisible } from '../../database/owner.ts'
import { pagedQuery } from '../../database/paging/list-query.ts'
import { type Builder, statement } from '../../database/statement.ts'
import { MAX_INTEGER } from '../../validation/input.ts'
import type { CountByDayOptions, MessagesByDay } from './by-day-types.ts'
import { givenSessions, isOfGiven, pairsOf } from './given-sessions.ts'

const DAY_MILLIS = 86_400_000
/** How many sessions one statement looks up. */
const PAGE_SESSIONS = 500
/** How many messages one statement counts. SQLite reads in the thread of the program, some thousands in a few milliseconds. */
const STEP_MESSAGES = 4000

export const countByDaySchema = z.strictObject({
  days: z.optional(z.int().check(z.gte(1), z.lte(366))),
  timeoutMillis: z.optional(z.int().check(z.gte(1), z.lte(60_000))),
})

/** The sessions that may have a message since then. */
const activeSessions = pagedQuery({
  name: 'sessions with messages',
  select: ({ orm, tables: { sessions: s } }) =>
    orm
      .select({
        id: s.id,
        ownerId: s.ownerId,
        lastSeq: s.lastSeq,
        messageCount: s.messageCount,
        lastActiveAt: s.lastActiveAt,
      })
      .from(s),
  visible: (db) => isVisible(db, db.tables.sessions),
  filters: {
    now: ({ sessions }, now: Date) => notExpired(sessions, now),
    since: ({ sessions }, since: Date) => sql`${sessions.lastActiveAt} >= ${since}`,
    createdBy: ({ sessions }, now: Date) => sql`${sessions.createdAt} <= ${now}`,
  },
  orderBy: [
    { name: 'lastActiveAt', kind: 'instant', column: ({ sessions }) => sessions.lastActiveAt },
    { name: 'id', kind: 'text', column: ({ sessions }) => sessions.id },
    { name: 'ownerId', kind: 'text', column: ({ sessions }) => sessions.ownerId },
  ],
})

type ActiveSession = Awaited<ReturnType<typeof activeSessions>>['items'][number]

interface Step {
  /** See `pairsOf`. */
  sessions: string
  after: number
  through: number
  since: Date
}

/** Counts the messages of some sessions by their day. The keys of the messages are looked up session by session. */
const countStep = statement((db, arg: Step) => {
  const { messages: m } = db.tables
  const day = dayOf(db)
  const isCounted = sql`${m.seq} > cast(${arg.after} as integer) and ${m.seq} <= cast(${arg.through} as integer) and ${m.createdAt} >= ${arg.since}`
  const rows = sql`${givenSessions(db, arg.sessions)} ${joinEach(db, m, sql`${isOfGiven(db)} and ${isCounted}`)}`
  return db.orm
    .select({ day: day.mapWith(Number), messages: sql`count(*)`.mapWith(Number) })
    .from(rows)
    .groupBy(day)
})

/** Makes the expression of the day of a message, counted from 1970. */
function dayOf({ dialect, tables: { messages: m } }: Builder) {
  return dialect === 'sqlite'
    ? sql`${m.createdAt} / ${sql.raw(String(DAY_MILLIS))}`
    : sql`cast(floor(date_part('epoch', ${m.createdAt}) / 86400) as integer)` // a float may be written with few digits
}

/**
 * Counts the messages of the last days. No index has the time of a message, which would slow every append: so this reads the
 * messages of the sessions that were active on these days, the last active first, until the time is over.
 */
export async function messagesByDay(
  db: Db,
  now: Date,
  { days: length = 30, timeoutMillis = 1000 }: CountByDayOptions,
): Promise<MessagesByDay> {
  const deadline = performance.now() + timeoutMillis
  const first = Math.floor(now.getTime() / DAY_MILLIS) - length + 1
  const since = new Date(first * DAY_MILLIS)
  const counts = new Array<number>(length).fill(0)
  for await (const { activity, ...step } of stepsOf(db, now, since)) {
    if (performance.now() >= deadline) {
      const missing = nameOf(Math.min(activity, first + length - 1))
      return { ...named(counts, first), complete: false, missingThrough: missing }
    }
    for (const { day, messages } of await countStep.all(db, { ...step, since })) {
      const before = counts[day - first] // a message with a time in the future has no day here
      if (before !== undefined) counts[day - first] = before + messages
    }
    await nextTurn() // SQLite answers within the turn
  }
  return { ...named(counts, first), complete: true }
}

/**
 * Yields what to count, in steps of about the same size. `activity` is the day of the last activity of the newest session in
 * a step: no later step has a message of a later day.
 */
async function* stepsOf(db: Db, now: Date, since: Date) {
  const seen = new Set<string>()
  let filters: Parameters<typeof stepsOfWalk>[1] = { now, since }
  let before: number
  let isOnePage: boolean
  do {
    before = seen.size
    isOnePage = yield* stepsOfWalk(db, filters, seen)
    // A session that becomes active meanwhile moves to the front, past the page that is read: look there again.
    filters = { now, since: now, createdBy: now }
  } while (!isOnePage && seen.size > before)
}

/** Yields the steps of the sessions that are not in `seen`, and notes them there. Returns true if one page had them all. */
async function* stepsOfWalk(db: Db, filters: Parameters<typeof activeSessions>[1], seen: Set<string>) {
  let cursor: string | undefined
  let pages = 0
  do {
    pages++
    const page = await activeSessions(db, filters, { limit: PAGE_SESSIONS, cursor }, 'desc')
    const isNew = ({ ownerId, id }: ActiveSession) => seen.size < seen.add(`${ownerId}\0${id}`).size
    let some: ActiveSession[] = []
    let messages = 0
    for (const session of page.items.filter(isNew)) {
      const isLarge = session.messageCount > STEP_MESSAGES
      if (some.length > 0 && (isLarge || messages + session.messageCount > STEP_MESSAGES)) {
        yield stepOf(some, 0, MAX_INTEGER)
        some = []
        messages = 0
      }
      if (isLarge) {
        for (let after = 0; after < session.lastSeq; after += STEP_MESSAGES) {
          yield stepOf([session], after, after + STEP_MESSAGES)
        }
      } else if (session.messageCount > 0) {
        some.push(session)
        messages += session.messageCount
      }
    }
    if (some.length > 0) yield stepOf(some, 0, MAX_INTEGER)
    cursor = page.nextCursor
  } while (cursor !== undefined)
  return pages === 1
}

function stepOf(sessions: readonly ActiveSession[], after: number, through: number) {
  const [newest] = sessions
  return {
    sessions: pairsOf(sessions),
    after,
    through,
    activity: Math.floor(Number(newest?.lastActiveAt) / DAY_MILLIS),
  }
}

function named(counts: readonly number[], first: number): Pick<MessagesByDay, 'days'> {
  return { days: counts.map((messages, i) => ({ day: nameOf(first + i), messages })) }
}

function nameOf(day: number): string {
  return new Date(day * DAY_MILLIS).toISOString().slice(0, 10)
}
