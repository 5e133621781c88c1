import { and, eq, notExists, sql } from 'drizzle-orm'
import { findReferences } from '../../blobs/reference.ts'
import { type Call, statement } from '../../database/statement.ts'
import type { Message } from './types.ts'

interface Mention {
  blobId: string
  sessionId: string
  messageId: string
}

/** Says that the blob is used, and holds its row: whoever removes it comes before, or sees the mention. */
const useBlob = statement(({ orm, tables: { blobs: b } }, arg: { blobId: string; now: Date }) =>
  orm.update(b).set({ lastUsedAt: arg.now }).where(eq(b.id, arg.blobId)),
)

/** A mention by a message that is stored. */
const addMention = statement(({ orm, tables: { blobs: b, blobRefs: r, messages: m } }, arg: Mention) => {
  const mentions = orm
    .select({ blobId: b.id, sessionId: m.sessionId, messageId: m.id })
    .from(b)
    .innerJoin(m, and(eq(m.sessionId, arg.sessionId), eq(m.id, arg.messageId)))
    .where(eq(b.id, arg.blobId))
  return orm.insert(r).select(mentions).onConflictDoNothing()
})

/** JSON escapes nothing of a mention, so it stands in the text of the columns as it is. */
const removeUnmentioned = statement(
  ({ orm, tables: { blobRefs: r, messages: m } }, arg: { sessionId: string; messageId: string }) => {
    const mention = sql`'%blob:' || ${r.blobId} || '%'`
    const text = sql`coalesce(cast(${m.content} as text), '') || ' ' || cast(${m.metadata} as text)`
    const mentioning = orm
      .select({ id: m.id })
      .from(m)
      .where(and(eq(m.sessionId, r.sessionId), eq(m.id, r.messageId), sql`${text} like ${mention}`))
    return orm
      .delete(r)
      .where(and(eq(r.sessionId, arg.sessionId), eq(r.messageId, arg.messageId), notExists(mentioning)))
  },
)

/** Records what messages mention, in the batch that inserts them. */
export function mentionsOfNew(messages: readonly Omit<Message, 'seq'>[], now: Date): Call<never>[] {
  const found: Mention[] = []
  for (const message of messages) found.push(...mentionsIn(message, [message.content, message.metadata]))
  return mentions(found, now)
}

/** The same in the batch that changes `values` of a message, after it; what is mentioned no more is forgotten. */
export function mentionsOfChanged(
  message: Pick<Message, 'sessionId' | 'id'>,
  values: readonly unknown[],
  now: Date,
): Call<never>[] {
  const { sessionId, id: messageId } = message
  return [...mentions(mentionsIn(message, values), now), removeUnmentioned.with({ sessionId, messageId })]
}

function mentionsIn({ sessionId, id }: Pick<Message, 'sessionId' | 'id'>, values: readonly unknown[]): Mention[] {
  return Array.from(findReferences(values), (blobId) => ({ blobId, sessionId, messageId: id }))
}

function mentions(found: readonly Mention[], now: Date): Call<never>[] {
  if (found.length === 0) return []
  // Sorted: two that mention the same blobs wait for one another, but not crosswise.
  const blobIds = [...new Set(found.map(({ blobId }) => blobId))].sort()
  return [
    ...blobIds.map((blobId) => useBlob.with({ blobId, now })),
    ...found.map((mention) => addMention.with(mention)),
  ]
}
