import { createHash } from 'node:crypto'
import { and, eq, type SQL, sql } from 'drizzle-orm'
import type * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { batchOfSession } from '../../database/decided-db.ts'
import { namedColumns } from '../../database/looked-up.ts'
import { type Builder, batch, rowsStatement, statement } from '../../database/statement.ts'
import { vectorsOfChanged } from '../embeddings/carry.ts'
import { entriesOfChanged, entriesOfNew } from '../search/message-entries.ts'
import { activityAt } from '../sessions/activity.ts'
import { type Clock, isWriteConflict, retryWithoutExpired } from '../sessions/removal.ts'
import { inUnexpiredSession, requirement } from '../sessions/unexpired.ts'
import { newMessages, sessionOf, type Written } from './append.ts'
import { type MessageId, withIds } from './by-id.ts'
import { allocateSeqs, insertMessages, type NewMessage } from './insert.ts'
import { mentionsOfChanged, mentionsOfNew } from './mentions.ts'
import { lockSession } from './removal.ts'
import type { Message, putInputSchema } from './types.ts'

/**
 * Makes the expression of what a stored message says, to compare without moving it: on PostgreSQL a hash, which is shorter
 * than most messages; on SQLite the text itself, which is in this process already.
 */
function fingerprintOf({ dialect, tables: { messages: m } }: Builder): SQL<string> {
  if (dialect === 'sqlite')
    return sql`${m.role} || char(10) || coalesce(${m.content}, 'null') || char(10) || ${m.metadata}`
  const text = sql`${m.role} || chr(10) || coalesce(${m.content}::text, 'null') || chr(10) || ${m.metadata}::text`
  return sql`encode(sha256(convert_to(${text}, 'UTF8')), 'hex')`
}

/** Returns what `fingerprintOf` yields for a stored message that says the same. JSON escapes every line feed. */
function fingerprint(db: Db, { role, content, metadata }: NewMessage): string {
  const text = `${role}\n${JSON.stringify(content)}\n${JSON.stringify(metadata)}`
  return db.dialect === 'sqlite' ? text : createHash('sha256').update(text).digest('hex')
}

interface StoredMessage {
  id: string
  seq: number
  createdAt: Date
  fingerprint: string
  sessionCreatedAt: Date
}

const selectStored = rowsStatement<MessageId, StoredMessage>((db, rows) => {
  const { messages: m, sessions: s } = db.tables
  const { source, condition } = withIds(db, rows)
  return db.orm
    .select({
      ...namedColumns({ id: m.id, seq: m.seq, createdAt: m.createdAt }),
      fingerprint: fingerprintOf(db),
      sessionCreatedAt: s.createdAt,
    })
    .from(source)
    .innerJoin(s, and(eq(s.id, m.sessionId), eq(s.ownerId, m.ownerId)))
    .where(condition)
})

/** The session must be the one whose messages were read. */
const requireSameSession = requirement(
  ({ tables: { sessions: s } }, arg: { sessionId: string; createdAt: Date; now: Date }) =>
    sql`${s.createdAt} = ${arg.createdAt}`,
)

type Replacement = Pick<NewMessage, 'sessionId' | 'id' | 'role' | 'content' | 'metadata' | 'now'>

const replaceMessage = statement((db, arg: Replacement) => {
  const { messages: m } = db.tables
  return db.orm
    .update(m)
    .set({ role: arg.role, content: arg.content, metadata: arg.metadata })
    .where(and(inUnexpiredSession(db, m, arg.sessionId, arg.now), eq(m.id, arg.id)))
})

/** How often a put starts again because others changed the session meanwhile. */
const MAX_ATTEMPTS = 10

/**
 * Appends the messages that the session does not have, and replaces those that say something else. Reads first which these
 * are, so that a conversation of hundreds of known messages is not sent again.
 */
export async function putMessages(
  db: Db,
  sessionId: string,
  inputs: readonly z.output<typeof putInputSchema>[],
  clock: Clock,
): Promise<Written> {
  if (inputs.length === 0) return { messages: [] }
  const { now } = clock
  const given = newMessages(sessionId, inputs, now)
  for (let attempt = 1; ; attempt++) {
    try {
      return await retryWithoutExpired(db, { id: sessionId, ...clock }, () => putOnce(db, sessionId, given, now))
    } catch (error) {
      // Another call has stored one of the messages first, or has removed the session.
      if (!isWriteConflict(error) || attempt === MAX_ATTEMPTS) throw error
    }
  }
}

async function putOnce(db: Db, sessionId: string, given: readonly NewMessage[], now: Date): Promise<Written> {
  const found = (await batch(db, selectStored.with(given))).flat()
  const stored = new Map(found.map((message) => [message.id, message]))
  const isNew = ({ id }: NewMessage) => !stored.has(id)
  const added = given.filter(isNew).map((message, i, all) => ({ ...message, fromLast: i + 1 - all.length }))
  const changed = given.filter((message) => {
    const known = stored.get(message.id)
    return known !== undefined && known.fingerprint !== fingerprint(db, message)
  })
  const known = found[0]
  const session = known && { createdAt: known.sessionCreatedAt, isNew: false }
  if (session && added.length + changed.length === 0)
    return { messages: given.map((message) => storedAs(message, stored)), session }

  const activity = activityAt(now)
  const raise =
    added.length > 0
      ? allocateSeqs.with({ sessionId, ...activity, count: added.length })
      : lockSession.with({ sessionId, ...activity })
  const results = await batchOfSession(db, { sessionId, now }, [
    raise,
    ...(known === undefined ? [] : [requireSameSession.with({ sessionId, createdAt: known.sessionCreatedAt, now })]),
    ...insertMessages.with(added),
    ...entriesOfNew(db, added),
    ...changed.map(({ id, role, content, metadata }) =>
      replaceMessage.with({ sessionId, id, role, content, metadata, now }),
    ),
    ...changed.flatMap((message) => entriesOfChanged(db, message, message)),
    ...changed.flatMap((message) => vectorsOfChanged(message, message)),
    ...mentionsOfNew(added, now),
    ...changed.flatMap((message) => mentionsOfChanged(message, [message.content, message.metadata], now)),
  ])
  const [allocated] = added.length > 0 ? (results[0] as { lastSeq: number; createdAt: Date }[]) : [] // the rows of `raise`
  const lastSeq = allocated?.lastSeq ?? 0
  const seqs = new Map(added.map(({ id, createdAt, fromLast }) => [id, { seq: lastSeq + fromLast, createdAt }]))
  const messages = given.map((message) => storedAs(message, seqs.has(message.id) ? seqs : stored))
  const written = allocated ? sessionOf(allocated, added.length) : session
  return written ? { messages, session: written } : { messages }
}

function storedAs(message: NewMessage, places: ReadonlyMap<string, { seq: number; createdAt: Date }>): Message {
  const { sessionId, id, role, content, metadata } = message
  const { seq, createdAt } = places.get(id) as { seq: number; createdAt: Date } // every message is stored by now
  return { sessionId, seq, id, role, content, metadata, createdAt }
}
