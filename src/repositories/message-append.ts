import { randomUUID } from 'node:crypto'
import { and, eq, gt, inArray, lte, sql } from 'drizzle-orm'
import type * as z from 'zod'
import type { Db } from '../database/db.ts'
import { batch, rowsStatement, statement } from '../database/statement.ts'
import type { JsonObject } from '../schema/values.ts'
import { alive } from './expiry.ts'
import { mentionsOfNew } from './message-references.ts'
import type { Message, messageInputSchema } from './messages.ts'
import { replacingExpired } from './session-removal.ts'

/** Creates the session if need be, and locks its row: appends to one session follow each other. */
const holdSession = statement(
  ({ orm, tables: { sessions: s } }, arg: { sessionId: string; metadata: JsonObject; now: Date }) =>
    orm
      .insert(s)
      .values({
        id: arg.sessionId,
        metadata: arg.metadata,
        version: 1,
        createdAt: arg.now,
        updatedAt: arg.now,
        lastSeq: 0,
        messageCount: 0,
        lastActiveAt: arg.now,
      })
      // The condition keeps the row from being written twice: PostgreSQL locks it all the same.
      .onConflictDoUpdate({ target: s.id, set: { lastSeq: sql`${s.lastSeq}` }, setWhere: sql`false` }),
)

/** Numbers the rows from the session's last seq. No seq, and so an error, where the session has expired. */
const insertMessages = rowsStatement(
  ({ orm, tables: { messages, sessions: s } }, rows: (Omit<Message, 'seq'> & { offset: number; now: Date })[]) =>
    orm
      .insert(messages)
      .values(
        rows.map(({ sessionId, id, role, content, metadata, createdAt, now, offset }) => ({
          sessionId,
          seq: sql`(select ${s.lastSeq} from ${s} where ${and(eq(s.id, sessionId), alive(s, now))}) + cast(${offset} as integer)`,
          id,
          role,
          content,
          metadata,
          createdAt,
        })),
      )
      .onConflictDoNothing({ target: [messages.sessionId, messages.id] })
      .returning(),
)

/** How many messages one append takes. */
export const MAX_APPEND = 1000

/** Counts the messages past the last seq: those that were just inserted. Where there are none nothing changes. */
const countAppended = counting(false)
const countAndTell = counting(true)

/** `tells`: when the session was created. On SQLite that is a tenth of the time that an append takes in memory. */
function counting(tells: boolean) {
  type Args = { sessionId: string; now: Date }
  return statement<Args, { createdAt: Date }>(({ orm, tables: { messages: m, sessions: s } }, arg) => {
    // The upper bound is for PostgreSQL, which else expects a third of the messages there.
    const last = sql`${s.lastSeq} + ${sql.raw(String(MAX_APPEND))}`
    const appended = sql`from ${m} where ${and(eq(m.sessionId, arg.sessionId), gt(m.seq, s.lastSeq), lte(m.seq, last))}`
    const count = orm
      .update(s)
      .set({
        lastSeq: sql`(select max(${m.seq}) ${appended})`,
        messageCount: sql`${s.messageCount} + (select count(*) ${appended})`,
        lastActiveAt: arg.now,
      })
      .where(and(eq(s.id, arg.sessionId), sql`exists (select 1 ${appended})`))
    return tells ? count.returning({ createdAt: s.createdAt }) : count
  })
}

interface Manner {
  now: Date
  /** Whether to tell when the session was created. */
  tells: boolean
}

export interface Appended {
  messages: Message[]
  /** When their session was created, if that was asked for; undefined where some of them were there before. */
  sessionCreatedAt?: Date
}

/**
 * Appends in one atomic batch: hold the session's row, insert what is new under the next numbers, count what was
 * inserted. Nothing here waits for an answer, so it is one round trip; a message whose id is taken is passed over.
 */
export async function appendMessages(
  db: Db,
  sessionId: string,
  inputs: readonly z.output<typeof messageInputSchema>[],
  { now, tells }: Manner,
): Promise<Appended> {
  if (inputs.length === 0) return { messages: [] }
  const rows = inputs.map(({ id = randomUUID(), role, content, metadata = {}, createdAt = now }, i) => {
    return { sessionId, id, role, content, metadata, createdAt, now, offset: i + 1 }
  })
  return appendRows(db, sessionId, rows, { now, tells })
}

type Row = Parameters<typeof insertMessages.with>[0][number]

async function appendRows(db: Db, sessionId: string, rows: readonly Row[], { now, tells }: Manner): Promise<Appended> {
  const steps = [
    holdSession.with({ sessionId, metadata: {}, now }),
    ...insertMessages.with(rows),
    ...mentionsOfNew(rows, now),
    (tells ? countAndTell : countAppended).with({ sessionId, now }),
  ]
  // A session that has expired gives no seq; the conversation starts anew.
  const written = await replacingExpired(db, { id: sessionId, now }, async () => (await batch(db, steps)).flat())
  const inserted = written.filter((row): row is Message => 'seq' in row)
  // The session comes last.
  const session = tells ? written.at(-1) : undefined
  if (inserted.length === rows.length) return { messages: inserted, sessionCreatedAt: session?.createdAt }
  const stored = await storedMessages(
    db,
    sessionId,
    rows.map(({ id }) => id),
  )
  // One that was known has been removed since: now it is new.
  return stored.length === rows.length ? { messages: stored } : appendRows(db, sessionId, rows, { now, tells })
}

/** The stored messages of these ids, in their order. */
async function storedMessages(db: Db, sessionId: string, ids: string[]): Promise<Message[]> {
  const { messages } = db.tables
  const rows = await db.orm
    .select()
    .from(messages)
    .where(and(eq(messages.sessionId, sessionId), inArray(messages.id, ids)))
  const byId = new Map(rows.map((row) => [row.id, row]))
  return ids.map((id) => byId.get(id)).filter((message) => message !== undefined)
}
