import { isDeepStrictEqual } from 'node:util'
import { sql } from 'drizzle-orm'
import type * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { batchOfSession } from '../../database/decided-db.ts'
import { notExpired } from '../../database/expiry.ts'
import { ownerOfId } from '../../database/owner.ts'
import { batch, rowsStatement, statement } from '../../database/statement.ts'
import { isStorageError, StorageError } from '../../errors.ts'
import { invalidInput, MAX_INTEGER } from '../../validation/input.ts'
import { entriesAt, entriesOfNew } from '../search/message-entries.ts'
import { activityAt } from '../sessions/activity.ts'
import { claimsOf, type Operation, wasDone } from '../sessions/operation.ts'
import { type Clock, isWriteConflict, retryWithoutExpired } from '../sessions/removal.ts'
import { isUnexpiredSession, requirement, sessionPresence } from '../sessions/unexpired.ts'
import { newMessages, sessionOf, type Written } from './append.ts'
import { allocateSeqs, insertMessages, type NewMessage } from './insert.ts'
import { mentionsOfNew } from './mentions.ts'
import { selectRange } from './range.ts'
import { deleteRange, lockSession, newestSeq, subtractRange } from './removal.ts'
import type { Message, messageInputSchema, ReplaceMessagesOptions } from './types.ts'

/** How often a range is replaced again because what was in the way is gone. */
const MAX_ATTEMPTS = 5

interface Expectation {
  sessionId: string
  /** The seq of the newest message, or -1 for any. */
  lastSeq: number
  /** A seq that the session has given out already. */
  throughSeq: number
  now: Date
}

/**
 * The newest message and the counter of the session must be as expected. A statement of its own, after the lock: on
 * PostgreSQL a statement that waits for a row does not see the messages of whom it waited for.
 */
const requireState = requirement((db, arg: Expectation) => {
  const lastSeq = sql`cast(${arg.lastSeq} as integer)`
  const isNewest = sql`(${lastSeq} = -1 or coalesce(${newestSeq(db, arg)}, 0) = ${lastSeq})`
  return sql`${isNewest} and ${db.tables.sessions.lastSeq} >= ${arg.throughSeq}`
})

const addToCount = statement((db, arg: { sessionId: string; count: number; now: Date }) => {
  const { sessions: s } = db.tables
  return db.orm
    .update(s)
    .set({ messageCount: sql`${s.messageCount} + cast(${arg.count} as integer)` })
    .where(isUnexpiredSession(db, arg.sessionId, arg.now))
})

/** Inserts messages at places of removed ones. Without the session there is no seq, and the insert fails. */
const insertAt = rowsStatement((db, rows: (Message & { now: Date })[]) => {
  const { messages, sessions: s } = db.tables
  return db.orm.insert(messages).values(
    rows.map(({ sessionId, seq, id, role, content, metadata, createdAt, now }) => ({
      sessionId,
      ownerId: ownerOfId(db, s, sessionId, notExpired(s, now)),
      seq: sql`(select cast(${seq} as integer) from ${s} where ${isUnexpiredSession(db, sessionId, now)})`,
      id,
      role,
      content,
      metadata,
      createdAt,
    })),
  )
})

const selectSeqs = statement((db, arg: { sessionId: string; now: Date }) => {
  const { sessions: s } = db.tables
  return db.orm
    .select({ newest: sql<number | null>`${newestSeq(db, arg)}`, last: s.lastSeq })
    .from(s)
    .where(isUnexpiredSession(db, arg.sessionId, arg.now))
})

/** Replaces a range of messages in one atomic batch. No statement needs the result of another: one round trip. */
export async function replaceMessages(
  db: Db,
  sessionId: string,
  options: ReplaceMessagesOptions,
  inputs: readonly z.output<typeof messageInputSchema>[],
  clock: Clock,
  operation: Operation | undefined,
): Promise<Written> {
  const { now } = clock
  const given = newMessages(sessionId, inputs, now)
  const { throughSeq } = options
  const write = () =>
    throughSeq === undefined
      ? replaceEnd(db, sessionId, options, given, now, operation)
      : replaceInside(db, sessionId, { ...options, throughSeq }, given, now, operation)
  for (let attempt = 1; ; attempt++) {
    try {
      return await retryWithoutExpired(db, { id: sessionId, ...clock }, write)
    } catch (error) {
      if (!isWriteConflict(error)) throw error
      if (operation !== undefined && (await wasDone(db, operation))) return { messages: [] }
      const messages = await explain(db, sessionId, options, given, now, error)
      if (messages !== undefined) return { messages }
      if (attempt === MAX_ATTEMPTS) {
        const message = 'Others created and deleted the session meanwhile, again and again: try again'
        throw new StorageError('DATABASE_FAILED', message, { cause: error, retryable: true })
      }
    }
  }
}

/** Replaces the messages after a seq. The new ones get new seqs. */
async function replaceEnd(
  db: Db,
  sessionId: string,
  { afterSeq, expectLastSeq }: ReplaceMessagesOptions,
  given: readonly NewMessage[],
  now: Date,
  operation: Operation | undefined,
): Promise<Written> {
  const range = { sessionId, afterSeq, throughSeq: MAX_INTEGER, now }
  const mayCreate = given.length > 0 || operation !== undefined
  const calls = [
    mayCreate
      ? allocateSeqs.with({ sessionId, ...activityAt(now), count: given.length })
      : lockSession.with({ sessionId, ...activityAt(now) }),
    ...claimsOf(operation),
    ...(expectLastSeq === undefined
      ? []
      : [requireState.with({ sessionId, lastSeq: expectLastSeq, throughSeq: 0, now })]),
    subtractRange.with(range),
    deleteRange.with(range),
    ...insertMessages.with(given),
    ...entriesOfNew(db, given),
    ...mentionsOfNew(given, now),
  ]
  const results = await batchOfSession(db, range, calls, mayCreate ? undefined : sessionPresence.with(range))
  if (given.length === 0) return { messages: [] }
  const [allocated] = results[0] as { lastSeq: number; createdAt: Date }[] // the rows of the first statement
  if (allocated === undefined) throw new StorageError('DATABASE_FAILED', 'The session allocated no seqs')
  const messages = given.map(({ now: _, fromLast, ...message }) => ({ ...message, seq: allocated.lastSeq + fromLast }))
  return { messages, session: sessionOf(allocated, given.length) }
}

/** Replaces messages that others follow. The new ones take the last places of the range. */
async function replaceInside(
  db: Db,
  sessionId: string,
  { afterSeq, throughSeq, expectLastSeq = -1 }: ReplaceMessagesOptions & { throughSeq: number },
  given: readonly NewMessage[],
  now: Date,
  operation: Operation | undefined,
): Promise<Written> {
  const range = { sessionId, afterSeq, throughSeq, now }
  const messages = given.map(({ now: _, fromLast, ...message }) => ({ ...message, seq: throughSeq + fromLast }))
  const calls = [
    lockSession.with({ sessionId, ...activityAt(now) }),
    ...claimsOf(operation),
    requireState.with({ sessionId, lastSeq: expectLastSeq, throughSeq, now }),
    subtractRange.with(range),
    deleteRange.with(range),
    addToCount.with({ sessionId, count: given.length, now }),
    ...insertAt.with(messages.map((message) => ({ ...message, now }))),
    ...entriesAt(db, messages, now),
    ...mentionsOfNew(given, now),
  ]
  await batchOfSession(db, range, calls, sessionPresence.with(range))
  return { messages }
}

/**
 * Returns the messages if an earlier call has stored them just like that, or undefined if nothing is in the way any more:
 * others create and delete sessions meanwhile. Otherwise throws what is in the way.
 */
async function explain(
  db: Db,
  sessionId: string,
  { afterSeq, throughSeq, expectLastSeq }: ReplaceMessagesOptions,
  given: readonly NewMessage[],
  now: Date,
  error: unknown,
): Promise<Message[] | undefined> {
  const [[seqs], after] = await batch(db, [
    selectSeqs.with({ sessionId, now }),
    selectRange.asc.with({ sessionId, after: afterSeq, before: MAX_INTEGER, limit: given.length + 1, now }),
  ])
  const stored = throughSeq === undefined ? after : after.filter(({ seq }) => seq <= throughSeq)
  if (isDeepStrictEqual(stored.map(saidBy), given.map(saidBy))) return stored
  const actual = seqs?.newest ?? 0
  if (expectLastSeq !== undefined && actual !== expectLastSeq) {
    const message = `The newest message has the seq ${actual}, not ${expectLastSeq}: read the session again`
    throw new StorageError('VERSION_CONFLICT', message, { details: { id: sessionId, expected: expectLastSeq, actual } })
  }
  const lastSeq = seqs?.last ?? 0
  if (throughSeq !== undefined && throughSeq > lastSeq) {
    const message = `must be a seq of the session, which are at most ${lastSeq}`
    throw invalidInput([{ path: 'options.throughSeq', message }])
  }
  if (isStorageError(error, 'ALREADY_EXISTS')) {
    const message = 'A message that is not replaced has the id of a new one'
    throw new StorageError('ALREADY_EXISTS', message, { cause: error })
  }
  return undefined
}

/** Returns what makes a message the same as that of an earlier call. Its time is that of the call. */
function saidBy({ id, role, content, metadata }: Pick<Message, 'id' | 'role' | 'content' | 'metadata'>) {
  return { id, role, content, metadata }
}
