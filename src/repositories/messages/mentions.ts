import { and, eq, notExists, type SQL, sql } from 'drizzle-orm'
import { findReferences } from '../../blobs/reference.ts'
import { notExpired } from '../../database/expiry.ts'
import { isOwn, ownerOfId } from '../../database/owner.ts'
import { type Builder, type Call, statement } from '../../database/statement.ts'
import type { Message } from './types.ts'

/** A message that a session names, at a time. */
interface MessageAt {
  sessionId: string
  messageId: string
  now: Date
}

/** A blob that a message mentions as `blob:<id>`. A mentioned blob is not cleaned up. */
interface Mention extends MessageAt {
  blobId: string
}

/** Returns the owner of the session that an id names, and so of its messages: no message has it if the id names none. */
function ownerOfMessages(db: Builder, { sessionId, now }: MessageAt): SQL | string {
  const { sessions } = db.tables
  return ownerOfId(db, sessions, sessionId, notExpired(sessions, now))
}

/**
 * Records the use of a blob and locks its row: a concurrent removal comes first, or sees the mention. In a scope another
 * owner's blob does not exist, and its id is a text like any other.
 */
const touchBlob = statement((db, arg: { blobId: string; now: Date }) => {
  const { blobs: b } = db.tables
  return db.orm
    .update(b)
    .set({ lastUsedAt: arg.now })
    .where(and(eq(b.id, arg.blobId), isOwn(db, b)))
})

/** Records a mention if both the blob and the message exist. It belongs to the owner of the message. */
const insertMention = statement((db, arg: Mention) => {
  const { blobs: b, blobRefs: r, messages: m } = db.tables
  const isMessage = and(
    eq(m.sessionId, arg.sessionId),
    eq(m.ownerId, ownerOfMessages(db, arg)),
    eq(m.id, arg.messageId),
  )
  const mention = db.orm
    .select({ blobId: b.id, sessionId: m.sessionId, ownerId: m.ownerId, messageId: m.id })
    .from(b)
    .innerJoin(m, isMessage)
    .where(and(eq(b.id, arg.blobId), isOwn(db, b)))
  return db.orm.insert(r).select(mention).onConflictDoNothing()
})

/**
 * Removes the mentions that no longer occur in a message. JSON escapes no character of `blob:<id>`, so the columns can
 * be searched as text.
 */
const deleteStaleMentions = statement((db, arg: MessageAt) => {
  const { blobRefs: r, messages: m } = db.tables
  const mention = sql`'%blob:' || ${r.blobId} || '%'`
  const text = sql`coalesce(cast(${m.content} as text), '') || ' ' || cast(${m.metadata} as text)`
  const isMessage = and(eq(m.sessionId, r.sessionId), eq(m.ownerId, r.ownerId), eq(m.id, r.messageId))
  const messageWithMention = db.orm
    .select({ id: m.id })
    .from(m)
    .where(and(isMessage, sql`${text} like ${mention}`))
  const isOfMessage = and(
    eq(r.sessionId, arg.sessionId),
    eq(r.ownerId, ownerOfMessages(db, arg)),
    eq(r.messageId, arg.messageId),
  )
  return db.orm.delete(r).where(and(isOfMessage, notExists(messageWithMention)))
})

/** A message that may mention blobs. Content and metadata are JSON, or its text, which mentions the same. */
interface Mentioning extends Pick<Message, 'sessionId' | 'id'> {
  content: unknown
  metadata: unknown
}

/** Returns the calls that record what new messages mention. They belong after the insert, in the same batch. */
export function mentionsOfNew(messages: readonly Mentioning[], now: Date): Call<never>[] {
  const mentions: Mention[] = []
  for (const message of messages) mentions.push(...mentionsIn(message, [message.content, message.metadata], now))
  return recordCalls(mentions, now)
}

/**
 * Returns the calls that record what the new `values` of a message mention, and remove the mentions that have gone.
 * They belong after the update, in the same batch.
 */
export function mentionsOfChanged(
  message: Pick<Message, 'sessionId' | 'id'>,
  values: readonly unknown[],
  now: Date,
): Call<never>[] {
  const { sessionId, id: messageId } = message
  return [
    ...recordCalls(mentionsIn(message, values, now), now),
    deleteStaleMentions.with({ sessionId, messageId, now }),
  ]
}

function mentionsIn(
  { sessionId, id: messageId }: Pick<Message, 'sessionId' | 'id'>,
  values: readonly unknown[],
  now: Date,
): Mention[] {
  return Array.from(findReferences(values), (blobId) => ({ blobId, sessionId, messageId, now }))
}

function recordCalls(mentions: readonly Mention[], now: Date): Call<never>[] {
  if (mentions.length === 0) return []
  // Sorted, so that two transactions that mention the same blobs lock them in one order and cannot deadlock.
  const blobIds = [...new Set(mentions.map(({ blobId }) => blobId))].sort()
  return [
    ...blobIds.map((blobId) => touchBlob.with({ blobId, now })),
    ...mentions.map((mention) => insertMention.with(mention)),
  ]
}
