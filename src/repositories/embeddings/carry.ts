import { and, eq, lte } from 'drizzle-orm'
import { isOwn, ownerOfNames } from '../../database/owner.ts'
import { type Call, statement } from '../../database/statement.ts'
import type { MessageContent } from '../../schema/values.ts'
import { type MessageId, seqOf } from '../messages/by-id.ts'
import { inUnexpiredSession } from '../sessions/unexpired.ts'

const removeOfMessage = statement((db, arg: MessageId) => {
  const { messageEmbeddings: e } = db.tables
  const isItsRow = and(inUnexpiredSession(db, e, arg.sessionId, arg.now), eq(e.seq, seqOf(db, arg)))
  return db.orm.delete(e).where(isItsRow)
})

const removeOfMemory = statement((db, arg: { memoryId: string }) => {
  const { memoryEmbeddings: e } = db.tables
  return db.orm.delete(e).where(and(eq(e.memoryId, arg.memoryId), isOwn(db, e)))
})

/**
 * Returns the calls that remove the vectors of a message whose content changes. They belong into the batch of the update,
 * also if this program embeds nothing: another one may.
 */
export function vectorsOfChanged(
  { sessionId, id, now }: MessageId,
  { content }: { content?: MessageContent },
): Call<never>[] {
  return content === undefined ? [] : [removeOfMessage.with({ sessionId, id, now })]
}

/** Returns the calls that remove the vectors of a memory whose content changes. See `vectorsOfChanged`. */
export function vectorsOfChangedMemory({ id, content }: { id: string; content: string | undefined }): Call<never>[] {
  return content === undefined ? [] : [removeOfMemory.with({ memoryId: id })]
}

/** Copies the vectors of the messages that a fork has copied: the texts are the same. */
export const copyVectors = statement((db, arg: { id: string; newId: string; throughSeq: number }) => {
  const { messageEmbeddings: e, messages: m } = db.tables
  const owner = ownerOfNames(db)
  return db.orm.insert(e).select(
    db.orm
      .select({
        sessionId: m.sessionId,
        ownerId: m.ownerId,
        seq: m.seq,
        model: e.model,
        textHash: e.textHash,
        vector: e.vector,
      })
      .from(e)
      .innerJoin(m, and(eq(m.sessionId, arg.newId), eq(m.ownerId, owner), eq(m.seq, e.seq)))
      .where(and(eq(e.sessionId, arg.id), eq(e.ownerId, owner), lte(e.seq, arg.throughSeq))),
  )
})
