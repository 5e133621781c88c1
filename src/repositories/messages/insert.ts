import { type SQL, sql } from 'drizzle-orm'
import { arrayText } from '../../database/array-text.ts'
import { notExpired } from '../../database/expiry.ts'
import { ownerOfId, ownerOfSession } from '../../database/owner.ts'
import { type Builder, type Call, rowsStatement, statement } from '../../database/statement.ts'
import type { JsonObject } from '../../schema/values.ts'
import { type Activity, laterOf } from '../sessions/activity.ts'
import { lastSeqOf } from '../sessions/unexpired.ts'
import type { Message } from './types.ts'

interface SeqAllocation extends Activity {
  sessionId: string
  count: number
}

/** Adds `count` to the session's counters, and creates the session if needed. An expired session stays as it is. */
function allocation(db: Builder, arg: SeqAllocation) {
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
interface Allocated {
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

/**
 * Allocates the seqs of messages and inserts the messages, as `allocateSeqs` and `insertMessages` do, in one statement: PostgreSQL then
 * runs no BEGIN and no COMMIT around it. SQLite has no such statement. For an expired session the columns of the session are
 * null and the insert fails. `given` is a table of the messages, with their places from 1.
 */
function insertAtOnce(db: Builder, arg: SeqAllocation, given: SQL) {
  const { messages: m, sessions: s } = db.tables
  const { id, ownerId, lastSeq, createdAt } = s
  const session = db.orm.$with('session').as(allocation(db, arg).returning({ id, ownerId, lastSeq, createdAt }))
  const messages = db.orm
    .select({
      sessionId: sql<string>`session.id`.as('session_id'),
      ownerId: sql<string>`session.owner_id`.as('owner_id'),
      seq: sql<number>`session.last_seq - cast(${arg.count} as integer) + given.place`.as('seq'),
      id: sql<string>`given.id`.as('id'),
      role: sql<string>`given.role`.as('role'),
      content: sql<Message['content']>`given.content`.as('content'),
      metadata: sql<JsonObject>`given.metadata`.as('metadata'),
      createdAt: sql<Date>`given.created_at`.as('created_at'),
    })
    .from(sql`${given} as given(id, role, content, metadata, created_at, place) left join session on true`)
  return db.orm
    .with(session)
    .insert(m)
    .select(messages)
    .returning({
      lastSeq: sql<number>`(select last_seq from session)`,
      createdAt: sql<Date>`(select created_at from session)`.mapWith(s.createdAt),
    })
}

/** One message as values: arrays of one item take PostgreSQL 60 us longer. */
const insertOne = statement((db, arg: SeqAllocation & NewMessage) => {
  const { content, metadata, createdAt } = db.tables.messages
  const values = [
    sql`cast(${arg.id} as text)`,
    sql`cast(${arg.role} as text)`,
    sql`cast(${sql.param(arg.content, content)} as json)`,
    sql`cast(${sql.param(arg.metadata, metadata)} as json)`,
    sql`cast(${sql.param(arg.createdAt, createdAt)} as timestamptz)`,
    sql.raw('1'),
  ]
  return insertAtOnce(db, arg, sql`(values (${sql.join(values, sql`, `)}))`)
})

/** Each property of new messages as the text of an array, in the order of the messages. */
interface MessageArrays {
  ids: string
  roles: string
  contents: string
  metadatas: string
  createdAts: string
}

const insertMany = statement((db, arg: SeqAllocation & MessageArrays) => {
  const arrays = [
    sql`cast(${arg.ids} as text)::text[]`,
    sql`cast(${arg.roles} as text)::text[]`,
    sql`cast(${arg.contents} as text)::json[]`,
    sql`cast(${arg.metadatas} as text)::json[]`,
    sql`cast(${arg.createdAts} as text)::timestamptz[]`,
  ]
  return insertAtOnce(db, arg, sql`unnest(${sql.join(arrays, sql`, `)}) with ordinality`)
})

/** Returns the call that allocates the seqs of messages and inserts the messages, on PostgreSQL. */
export function insertionOf(allocation: SeqAllocation, messages: readonly NewMessage[]): Call<Allocated> {
  const [first] = messages
  if (first !== undefined && messages.length === 1) return insertOne.with({ ...first, ...allocation })
  const array = (textOf: (message: NewMessage) => string | null) => arrayText(messages.map(textOf))
  return insertMany.with({
    ...allocation,
    ids: array(({ id }) => id),
    roles: array(({ role }) => role),
    contents: array(({ content }) => (content === null ? null : JSON.stringify(content))),
    metadatas: array(({ metadata }) => JSON.stringify(metadata)),
    createdAts: array(({ createdAt }) => createdAt.toISOString()),
  })
}
