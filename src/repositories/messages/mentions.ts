import { and, eq, notExists, sql } from 'drizzle-orm'
import { findReferences } from '../../blobs/reference.ts'
import { type Call, statement } from '../../database/statement.ts'
import type { Message } from './types.ts'

/** A blob that a message mentions as `blob:<id>`. A mentioned blob is not cleaned up. */
interface Mention {
  blobId: string
  sessionId: string
  messageId: string
}

/** Records the use of a blob and locks its row: a concurrent removal comes first, or sees the mention. */
const touchBlob = statement(({ orm, tables: { blobs: b } }, arg: { blobId: string; now: Date }) =>
  orm.update(b).set({ lastUsedAt: arg.now }).where(eq(b.id, arg.blobId)),
)

/** Records a mention if both the blob and the message exist. */
const insertMention = statement(({ orm, tables: { blobs: b, blobRefs: r, messages: m } }, arg: Mention) => {
  const mention = orm
    .select({ blobId: b.id, sessionId: m.sessionId, messageId: m.id })
    .from(b)
    .innerJoin(m, and(eq(m.sessionId, arg.sessionId), eq(m.id, arg.messageId)))
    .where(eq(b.id, arg.blobId))
  return orm.insert(r).select(mention).onConflictDoNothing()
})

/**
 * Removes the mentions that no longer occur in a message. JSON escapes no character of `blob:<id>`, so the columns can
 * be searched as text.
 */
const deleteStaleMentions = statement(
  ({ orm, tables: { blobRefs: r, messages: m } }, arg: { sessionId: string; messageId: string }) => {
    const mention = sql`'%blob:' || ${r.blobId} || '%'`
    const text = sql`coalesce(cast(${m.content} as text), '') || ' ' || cast(${m.metadata} as text)`
    const messageWithMention = orm
      .select({ id: m.id })
      .from(m)
      .where(and(eq(m.sessionId, r.sessionId), eq(m.id, r.messageId), sql`${text} like ${mention}`))
    return orm
      .delete(r)
      .where(and(eq(r.sessionId, arg.sessionId), eq(r.messageId, arg.messageId), notExists(messageWithMention)))
  },
)

/** Returns the calls that record what new messages mention. They belong after the insert, in the same batch. */
export function mentionsOfNew(messages: readonly Omit<Message, 'seq'>[], now: Date): Call<never>[] {
  const mentions: Mention[] = []
  for (const message of messages) mentions.push(...mentionsIn(message, [message.content, message.metadata]))
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
  return [...recordCalls(mentionsIn(message, values), now), deleteStaleMentions.with({ sessionId, messageId })]
}

function mentionsIn({ sessionId, id }: Pick<Message, 'sessionId' | 'id'>, values: readonly unknown[]): Mention[] {
  return Array.from(findReferences(values), (blobId) => ({ blobId, sessionId, messageId: id }))
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
