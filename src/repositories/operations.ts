import { sql } from 'drizzle-orm'
import type { Db } from '../database/db.ts'
import { batch, statement } from '../database/statement.ts'
import { idSchema, parseInput } from '../validation/input.ts'
import { jsonSchema } from '../validation/json.ts'
import type { RepositoryContext } from './context.ts'
import { allocateSeqs } from './messages/insert.ts'
import { activityAt } from './sessions/activity.ts'
import { insertOperation, operationOf, otherPayload, selectOperation } from './sessions/operation.ts'
import { cachedRowsOf, retryWithoutExpired } from './sessions/removal.ts'
import type { SessionSummary } from './sessions/types.ts'
import { isUnexpiredSession } from './sessions/unexpired.ts'

const lockSummary = statement((db, arg: { id: string; now: Date }) => {
  const { sessions: s } = db.tables
  return db.orm
    .update(s)
    .set({ lastSeq: sql`${s.lastSeq}` })
    .where(isUnexpiredSession(db, arg.id, arg.now))
    .returning()
})

/**
 * Notes that an operation of a session is done, and creates the session if needed. Its row stays locked, so of two
 * transactions that do the same operation the second waits, and finds it done.
 */
export async function recordOperation(
  db: Db,
  { cache, now: clock, confirmedNow }: RepositoryContext,
  sessionId: string,
  operationId: string,
  payload: unknown,
): Promise<'first' | 'repeated'> {
  parseInput(idSchema, sessionId, 'sessionId')
  parseInput(idSchema, operationId, 'operationId')
  const now = clock()
  const operation = operationOf({ sessionId, now }, operationId, parseInput(jsonSchema, payload, 'payload'))
  const record = () =>
    batch(db, [
      allocateSeqs.with({ sessionId, ...activityAt(now), count: 0 }),
      insertOperation.with(operation),
      selectOperation.with(operation),
    ])
  const [, inserted, [stored]] = await cache.writeIfNew(
    cachedRowsOf(sessionId),
    () => retryWithoutExpired(db, { id: sessionId, now, confirmedNow }, record),
    () => ({ created: true }),
  )
  if (stored !== undefined && stored.payloadHash !== operation.payloadHash) throw otherPayload()
  return inserted.length > 0 ? 'first' : 'repeated'
}

/** Locks a session for the rest of the transaction. */
export async function lockSession(
  db: Db,
  { now }: RepositoryContext,
  sessionId: string,
): Promise<SessionSummary | undefined> {
  parseInput(idSchema, sessionId, 'sessionId')
  return lockSummary.first(db, { id: sessionId, now: now() })
}
