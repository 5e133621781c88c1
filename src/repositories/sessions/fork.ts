import { and, eq, lte, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { NOBODY } from '../../database/owner.ts'
import { batch, statement } from '../../database/statement.ts'
import { copyVectors } from '../embeddings/carry.ts'
import { indexSession } from '../search/message-entries.ts'
import { lockSession } from './statements.ts'
import type { SessionSummary } from './types.ts'

const copySession = statement(
  (
    { orm, tables: { sessions: s }, owner = NOBODY },
    arg: { id: string; newId: string; title: string | null; keepTitle: boolean; now: Date },
  ) =>
    orm.insert(s).select(
      orm
        .select({
          id: sql`${arg.newId}`.as('id'),
          ownerId: s.ownerId,
          title: sql`case when ${arg.keepTitle} then ${s.title} else ${arg.title} end`.as('title'),
          metadata: s.metadata,
          version: sql`1`.as('version'),
          parentId: s.id,
          createdAt: sql`${arg.now}`.as('created_at'),
          updatedAt: sql`${arg.now}`.as('updated_at'),
          expiresAt: s.expiresAt,
          lastSeq: sql`0`.as('last_seq'),
          messageCount: sql`0`.as('message_count'),
          lastActiveAt: sql`${arg.now}`.as('last_active_at'),
        })
        .from(s)
        .where(and(eq(s.id, arg.id), eq(s.ownerId, owner))),
    ),
)

const copyMessages = statement(
  ({ orm, tables: { messages: m }, owner = NOBODY }, arg: { id: string; newId: string; throughSeq: number }) =>
    orm.insert(m).select(
      orm
        .select({
          sessionId: sql`${arg.newId}`.as('session_id'),
          ownerId: m.ownerId,
          seq: m.seq,
          id: m.id,
          role: m.role,
          content: m.content,
          metadata: m.metadata,
          createdAt: m.createdAt,
        })
        .from(m)
        .where(and(eq(m.sessionId, arg.id), eq(m.ownerId, owner), lte(m.seq, arg.throughSeq))),
    ),
)

/** Copies the blob mentions of the messages that were copied. */
const copyMentions = statement(
  ({ orm, tables: { blobRefs: r, messages: m }, owner = NOBODY }, arg: { id: string; newId: string }) =>
    orm.insert(r).select(
      orm
        .select({ blobId: r.blobId, sessionId: m.sessionId, ownerId: m.ownerId, messageId: r.messageId })
        .from(r)
        .innerJoin(m, and(eq(m.sessionId, arg.newId), eq(m.ownerId, owner), eq(m.id, r.messageId)))
        .where(and(eq(r.sessionId, arg.id), eq(r.ownerId, owner))),
    ),
)

/** Sets the counters of the copy from its messages. */
const setCounters = statement(({ orm, tables: { messages, sessions }, owner = NOBODY }, arg: { newId: string }) => {
  const isCopied = and(eq(messages.sessionId, arg.newId), eq(messages.ownerId, owner))
  const ofMessages = (aggregate: SQL) => sql`(select ${aggregate} from ${messages} where ${isCopied})`
  return orm
    .update(sessions)
    .set({ lastSeq: ofMessages(sql`coalesce(max(${messages.seq}), 0)`), messageCount: ofMessages(sql`count(*)`) })
    .where(and(eq(sessions.id, arg.newId), eq(sessions.ownerId, owner)))
    .returning()
})

interface Fork {
  id: string
  newId: string
  /** Undefined keeps the title of the original. */
  title: string | null | undefined
  throughSeq: number
  now: Date
}

/**
 * Copies a session of the handle's owner, its messages and their blob mentions, in one transaction. Returns undefined if
 * there is no such session.
 */
export function forkSession(db: Db, { id, newId, title, throughSeq, now }: Fork): Promise<SessionSummary | undefined> {
  return db.transaction(async (tx) => {
    // So that none of its messages and blob mentions is removed while they are copied.
    if ((await lockSession.first(tx, { id, now })) === undefined) return undefined
    const [, , , , [copy]] = await batch(tx, [
      copySession.with({ id, newId, title: title ?? null, keepTitle: title === undefined, now }),
      copyMessages.with({ id, newId, throughSeq }),
      copyMentions.with({ id, newId }),
      copyVectors.with({ id, newId, throughSeq }),
      setCounters.with({ newId }),
    ])
    await indexSession(tx, newId, now)
    return copy
  })
}
