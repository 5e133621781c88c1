import { randomUUID } from 'node:crypto'
import { and, eq, inArray, sql } from 'drizzle-orm'
import type * as z from 'zod'
import type { Db } from '../../database/db.ts'
import { notExpired } from '../../database/expiry.ts'
import { batch, rowsStatement, statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { JsonObject } from '../../schema/values.ts'
import { jsonCopy } from '../../validation/json.ts'
import { isWriteConflict, retryWithoutExpired } from '../sessions/removal.ts'
import { inUnexpiredSession } from '../sessions/unexpired.ts'
import { mentionsOfNew } from './references.ts'
import type { Message, messageInputSchema } from './types.ts'

interface TakeNumbers {
  sessionId: string
  metadata: JsonObject
  now: Date
  count: number
}

/**
 * Creates the session if need be, counts the messages and takes their numbers, the last of which it tells. It holds the
 * session's row: appends to one session follow each other.
 */
const takeNumbers = statement(({ orm, tables: { sessions: s } }, arg: TakeNumbers) => {
  const count = sql`cast(${arg.count} as integer)`
  return orm
    .insert(s)
    .values({
      id: arg.sessionId,
      metadata: arg.metadata,
      version: 1,
      createdAt: arg.now,
      updatedAt: arg.now,
      lastSeq: count,
      messageCount: count,
      lastActiveAt: arg.now,
    })
    .onConflictDoUpdate({
      target: s.id,
      set: {
        lastSeq: sql`${s.lastSeq} + ${count}`,
        messageCount: sql`${s.messageCount} + ${count}`,
        lastActiveAt: arg.now,
      },
      setWhere: notExpired(s, arg.now),
    })
    .returning({ lastSeq: s.lastSeq, createdAt: s.createdAt })
})

/** `fromLast` leads from the session's last seq, just taken, to that of the row. No seq, and so an error, where the session has expired. */
const insertMessages = rowsStatement(({ orm, tables: { messages, sessions: s } }, rows: NewMessage[]) =>
  orm.insert(messages).values(
    rows.map(({ sessionId, id, role, content, metadata, createdAt, now, fromLast }) => ({
      sessionId,
      seq: sql`(select ${s.lastSeq} from ${s} where ${and(eq(s.id, sessionId), notExpired(s, now))}) + cast(${fromLast} as integer)`,
      id,
      role,
      content,
      metadata,
      createdAt,
    })),
  ),
)

/** How many messages one append takes. */
export const MAX_APPEND = 1000

type NewMessage = Omit<Message, 'seq'> & { now: Date; fromLast: number }

export interface Appended {
  messages: Message[]
  /** When their session was created; undefined where some of them were there before. */
  sessionCreatedAt?: Date
}

/**
 * Appends in one atomic batch: take the numbers, insert under them. Neither waits for an answer, so it is one round trip.
 * A message whose id is taken undoes all of it; then those that are there are read, and the others appended.
 */
export async function appendMessages(
  db: Db,
  sessionId: string,
  inputs: readonly z.output<typeof messageInputSchema>[],
  now: Date,
): Promise<Appended> {
  if (inputs.length === 0) return { messages: [] }
  // What is returned is what was stored: nothing the caller goes on to change.
  const given = inputs.map(({ id = randomUUID(), role, content, metadata, createdAt = now }, i) => ({
    sessionId,
    id,
    role,
    content: jsonCopy(content),
    metadata: metadata === undefined ? {} : jsonCopy(metadata),
    createdAt: new Date(createdAt),
    now,
    fromLast: i + 1 - inputs.length,
  }))
  try {
    return await insertAll(db, sessionId, given, now)
  } catch (error) {
    if (!isWriteConflict(error)) throw error
    // A session that has expired gives no seq; the conversation starts anew.
    return retryWithoutExpired(db, { id: sessionId, now }, () => appendMissing(db, sessionId, given, now))
  }
}

/** For a repeat: the stored messages as they are, and the others appended, which another caller may be doing as well. */
async function appendMissing(db: Db, sessionId: string, given: readonly NewMessage[], now: Date): Promise<Appended> {
  const ids = given.map(({ id }) => id)
  const known = new Map<string, Message>()
  for (let before = -1; ; ) {
    for (const message of await selectMessages(db, sessionId, ids, now)) known.set(message.id, message)
    const missing = given.filter(({ id }) => !known.has(id))
    const rest = missing.map((message, i) => ({ ...message, fromLast: i + 1 - missing.length }))
    try {
      const { messages } = rest.length === 0 ? { messages: [] } : await insertAll(db, sessionId, rest, now)
      for (const message of messages) known.set(message.id, message)
      return { messages: ids.map((id) => known.get(id)).filter((message) => message !== undefined) }
    } catch (error) {
      const isTaken = error instanceof StorageError && error.code === 'ALREADY_EXISTS'
      if (!isTaken || known.size === before) throw error // where nothing was learned it is no id
      before = known.size
    }
  }
}

async function insertAll(db: Db, sessionId: string, rows: readonly NewMessage[], now: Date): Promise<Appended> {
  const take = takeNumbers.with({ sessionId, metadata: {}, now, count: rows.length })
  const [[taken]] = await batch(db, [take, ...insertMessages.with(rows), ...mentionsOfNew(rows, now)])
  if (taken === undefined) throw new StorageError('DATABASE_FAILED', 'The session gave no numbers')
  const messages = rows.map(({ id, role, content, metadata, createdAt, fromLast }) => {
    return { sessionId, seq: taken.lastSeq + fromLast, id, role, content, metadata, createdAt }
  })
  return { messages, sessionCreatedAt: taken.createdAt }
}

async function selectMessages(db: Db, sessionId: string, ids: string[], now: Date): Promise<Message[]> {
  const { messages: m } = db.tables
  return db.orm
    .select()
    .from(m)
    .where(and(eq(m.sessionId, sessionId), inArray(m.id, ids), inUnexpiredSession(db.tables, sessionId, now)))
}
