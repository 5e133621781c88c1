import { randomUUID } from 'node:crypto'
import { and, eq, inArray, sql } from 'drizzle-orm'
import type * as z from 'zod'
import type { Db } from '../database/db.ts'
import { batch, rowsStatement, statement } from '../database/statement.ts'
import { StorageError } from '../errors.ts'
import type { JsonObject } from '../schema/values.ts'
import { alive } from './expiry.ts'
import { mentionsOfNew } from './message-references.ts'
import type { Message, messageInputSchema } from './messages.ts'
import { replacingExpired } from './session-removal.ts'

interface TakeNumbers {
  sessionId: string
  metadata: JsonObject
  now: Date
  count: number
}

const takeNumbers = takingNumbers(false)
const takeNumbersAndTell = takingNumbers(true)

/**
 * Creates the session if need be, counts the messages and takes their numbers. It holds the session's row: appends to one
 * session follow each other. `tells`: when the session was created. In memory that is a tenth of the time of an append.
 */
function takingNumbers(tells: boolean) {
  return statement<TakeNumbers, { createdAt: Date }>(({ orm, tables: { sessions: s } }, arg) => {
    const count = sql`cast(${arg.count} as integer)`
    const take = orm
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
        setWhere: alive(s, arg.now),
      })
    return tells ? take.returning({ createdAt: s.createdAt }) : take
  })
}

/** `fromLast` leads from the session's last seq, just taken, to that of the row. No seq, and so an error, where the session has expired. */
const insertMessages = rowsStatement(
  ({ orm, tables: { messages, sessions: s } }, rows: (Omit<Message, 'seq'> & { fromLast: number; now: Date })[]) =>
    orm
      .insert(messages)
      .values(
        rows.map(({ sessionId, id, role, content, metadata, createdAt, now, fromLast }) => ({
          sessionId,
          seq: sql`(select ${s.lastSeq} from ${s} where ${and(eq(s.id, sessionId), alive(s, now))}) + cast(${fromLast} as integer)`,
          id,
          role,
          content,
          metadata,
          createdAt,
        })),
      )
      .returning(),
)

/** How many messages one append takes. */
export const MAX_APPEND = 1000

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
 * Appends in one atomic batch: take the numbers, insert under them. Neither waits for an answer, so it is one round trip.
 * A message whose id is taken undoes all of it; then those that are there are read, and the others appended.
 */
export async function appendMessages(
  db: Db,
  sessionId: string,
  inputs: readonly z.output<typeof messageInputSchema>[],
  manner: Manner,
): Promise<Appended> {
  const { now } = manner
  const given = inputs.map(({ id = randomUUID(), role, content, metadata = {}, createdAt = now }) => {
    return { sessionId, id, role, content, metadata, createdAt, now }
  })
  // A session that has expired gives no seq; the conversation starts anew.
  return replacingExpired(db, { id: sessionId, now }, () => appendNew(db, sessionId, given, manner))
}

type Given = Omit<Parameters<typeof insertMessages.with>[0][number], 'fromLast'>

async function appendNew(db: Db, sessionId: string, given: readonly Given[], manner: Manner): Promise<Appended> {
  const ids = given.map(({ id }) => id)
  const stored = new Map<string, Message>()
  for (let known = -1; ; ) {
    const unknown = given.filter(({ id }) => !stored.has(id))
    try {
      const appended = unknown.length === 0 ? { messages: [] } : await insertAll(db, sessionId, unknown, manner)
      if (stored.size === 0) return appended
      for (const message of appended.messages) stored.set(message.id, message)
      return { messages: ids.map((id) => stored.get(id)).filter((message) => message !== undefined) }
    } catch (error) {
      const repeated = error instanceof StorageError && error.code === 'ALREADY_EXISTS'
      // Where nothing was learned it is no id that is taken.
      if (!repeated || stored.size === known) throw error
    }
    known = stored.size
    for (const message of await storedMessages(db, sessionId, ids)) stored.set(message.id, message)
  }
}

async function insertAll(
  db: Db,
  sessionId: string,
  given: readonly Given[],
  { now, tells }: Manner,
): Promise<Appended> {
  const rows = given.map((message, i) => ({ ...message, fromLast: i + 1 - given.length }))
  const take = (tells ? takeNumbersAndTell : takeNumbers).with({ sessionId, metadata: {}, now, count: given.length })
  const [taken, ...inserted] = await batch(db, [take, ...insertMessages.with(rows), ...mentionsOfNew(rows, now)])
  return { messages: inserted.flat(), sessionCreatedAt: taken?.[0]?.createdAt }
}

function storedMessages(db: Db, sessionId: string, ids: string[]): Promise<Message[]> {
  const { messages } = db.tables
  return db.orm
    .select()
    .from(messages)
    .where(and(eq(messages.sessionId, sessionId), inArray(messages.id, ids)))
}
