import { randomUUID } from 'node:crypto'
import type * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { batchOfSession } from '../../database/decided-db.ts'
import { batch } from '../../database/statement.ts'
import { isStorageError, StorageError } from '../../errors.ts'
import { jsonCopy } from '../../validation/json.ts'
import { entriesOfNew } from '../search/message-entries.ts'
import { activityAt } from '../sessions/activity.ts'
import { claimsOf, type Operation, wasDone } from '../sessions/operation.ts'
import { type Clock, isWriteConflict, retryWithoutExpired } from '../sessions/removal.ts'
import { messageIds, selectByIds } from './by-id.ts'
import { allocateSeqs, insertMessages, type NewMessage } from './insert.ts'
import { insertionOf } from './insert-at-once.ts'
import { mentionsOfNew } from './mentions.ts'
import type { Message, messageInputSchema } from './types.ts'

/** Maximum number of messages in one append. */
export const MAX_APPEND = 1000

/** What a write stored, or found stored. */
export interface Written {
  messages: Message[]
  /** The session that the write found or created. Undefined if the write does not know. */
  session?: { createdAt: Date; isNew: boolean }
}

/**
 * Appends messages in one atomic batch: allocate the seqs, insert the messages. No statement needs the result of
 * another, so the batch is one round trip; on PostgreSQL it is one statement, unless more has to be written. A taken message
 * id rolls the batch back; then the existing messages are read and only the missing ones appended.
 */
export async function appendMessages(
  db: Db,
  sessionId: string,
  inputs: readonly z.output<typeof messageInputSchema>[],
  clock: Clock,
  operation?: Operation,
): Promise<Written> {
  if (inputs.length === 0 && operation === undefined) return { messages: [] }
  const { now } = clock
  const given = newMessages(sessionId, inputs, now)
  try {
    return await insertAll(db, sessionId, given, now, operation)
  } catch (error) {
    if (!isWriteConflict(error)) throw error
    // The conflict may be an expired session, which yields no seq. The conversation then starts again.
    return retryWithoutExpired(db, { id: sessionId, ...clock }, () =>
      appendMissing(db, sessionId, given, now, operation),
    )
  }
}

/** Returns the messages to store. They are copies, which stay as they are stored if the caller changes its objects later. */
export function newMessages(
  sessionId: string,
  inputs: readonly z.output<typeof messageInputSchema>[],
  now: Date,
): NewMessage[] {
  return inputs.map(({ id = randomUUID(), role, content, metadata, createdAt = now }, i) => ({
    sessionId,
    id,
    role,
    content: jsonCopy(content),
    metadata: metadata === undefined ? {} : jsonCopy(metadata),
    createdAt: new Date(createdAt),
    now,
    fromLast: i + 1 - inputs.length,
  }))
}

/**
 * Appends those of the given messages that the session does not have, and returns all of them: existing messages as
 * they are stored. Tries again while a concurrent append stores some of them first.
 */
async function appendMissing(
  db: Db,
  sessionId: string,
  given: readonly NewMessage[],
  now: Date,
  operation?: Operation,
): Promise<Written> {
  if (operation !== undefined && (await wasDone(db, operation))) return { messages: [] }
  const ids = given.map(({ id }) => id)
  const select = selectByIds.with(messageIds(sessionId, ids, now))
  const known = new Map<string, Message>()
  for (let knownBefore = -1; ; ) {
    for (const message of (await batch(db, select)).flat()) known.set(message.id, message)
    const missing = given.filter(({ id }) => !known.has(id))
    const rest = missing.map((message, i) => ({ ...message, fromLast: i + 1 - missing.length }))
    try {
      const isStored = rest.length === 0 && operation === undefined
      const { messages } = isStored ? { messages: [] } : await insertAll(db, sessionId, rest, now, operation)
      for (const message of messages) known.set(message.id, message)
      return { messages: ids.map((id) => known.get(id)).filter((message) => message !== undefined) }
    } catch (error) {
      const isTaken = isStorageError(error, 'ALREADY_EXISTS')
      if (isTaken && operation !== undefined && (await wasDone(db, operation))) return { messages: [] }
      // No new row was found: the conflict is not about a message id.
      if (!isTaken || known.size === knownBefore) throw error
      knownBefore = known.size
    }
  }
}

async function insertAll(
  db: Db,
  sessionId: string,
  rows: readonly NewMessage[],
  now: Date,
  operation?: Operation,
): Promise<Written> {
  const allocation = { sessionId, ...activityAt(now), count: rows.length }
  const isAtOnce = db.dialect === 'postgres' && rows.length > 0
  const [[allocated]] = await batchOfSession(db, allocation, [
    isAtOnce ? insertionOf(db, allocation, rows) : allocateSeqs.with(allocation),
    ...claimsOf(operation),
    ...(isAtOnce ? [] : [...insertMessages.with(rows), ...entriesOfNew(db, rows)]),
    ...mentionsOfNew(rows, now),
  ])
  if (allocated === undefined) throw new StorageError('DATABASE_FAILED', 'The session allocated no seqs')
  const messages = rows.map(({ id, role, content, metadata, createdAt, fromLast }) => {
    return { sessionId, seq: allocated.lastSeq + fromLast, id, role, content, metadata, createdAt }
  })
  return { messages, session: sessionOf(allocated, rows.length) }
}

/** Returns the session that has allocated `count` seqs. It is new if these are its first. */
export function sessionOf({ lastSeq, createdAt }: { lastSeq: number; createdAt: Date }, count: number) {
  return { createdAt, isNew: lastSeq === count }
}
