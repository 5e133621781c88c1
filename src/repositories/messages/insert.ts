import { sql } from 'drizzle-orm'
import { notExpired } from '../../database/expiry.ts'
import { ownerOfId, ownerOfSession } from '../../database/owner.ts'
import { type Builder, rowsStatement, statement } from '../../database/statement.ts'
import { type Activity, laterOf } from '../sessions/activity.ts'
import { lastSeqOf } from '../sessions/unexpired.ts'
import type { Message } from './types.ts'

export interface SeqAllocation extends Activity {
  sessionId: string
  count: number
}

/** Builds what adds `count` to the session's counters, and creates the session if needed. An expired session stays as it is. */
export function allocation(db: Builder, arg: SeqAllocation) {
  const { sessions: s } = db.tables
  const count = sql`cast(${arg.count} as integer)`
  return db.orm
    .insert(s)
    .values({
      id: arg.sessionId,
      ownerId: ownerOfSession(db, arg.sessionId, notExpired(s, arg.now)),
      metadata: {},
      version: 1,
      createdAt: arg.now,
      updatedAt: arg.now,
      lastSeq: count,
      messageCount: count,
      lastActiveAt: arg.now,
    })
    .onConflictDoUpdate({
      target: [s.id, s.ownerId],
      set: {
        lastSeq: sql`${s.lastSeq} + ${count}`,
        messageCount: sql`${s.messageCount} + ${count}`,
        lastActiveAt: laterOf(s.lastActiveAt, arg),
      },
      setWhere: notExpired(s, arg.now),
    })
}

/** The state of a session that has allocated seqs. */
export interface Allocated {
  lastSeq: number
  createdAt: Date
}

/**
 * Allocates the seqs of `count` messages and adds them to the session's counter, creating the session if needed.
 * Returns the last seq. Locks the session's row, so appends to one session run one after the other.
 */
export const allocateSeqs = statement((db, arg: SeqAllocation) => {
  const { sessions: s } = db.tables
  return allocation(db, arg).returning({ ownerId: s.ownerId, lastSeq: s.lastSeq, createdAt: s.createdAt })
})

/** `fromLast` is the distance to the last message of the append: 0 for the last message, -1 for the message before. */
export type NewMessage = Omit<Message, 'seq'> & { now: Date; fromLast: number }

/**
 * seq = session.last_seq + fromLast. The session's last_seq already includes the new messages. For an expired session
 * the subquery is null and the insert fails.
 */
export const insertMessages = rowsStatement((db, rows: NewMessage[]) => {
  const { messages, sessions: s } = db.tables
  return db.orm.insert(messages).values(
    rows.map(({ sessionId, id, role, content, metadata, createdAt, now, fromLast }) => ({
      sessionId,
      ownerId: ownerOfId(db, s, sessionId, notExpired(s, now)),
      seq: sql`${lastSeqOf(db, sessionId, now)} + cast(${fromLast} as integer)`,
      id,
      role,
      content,
      metadata,
      createdAt,
    })),
  )
})
