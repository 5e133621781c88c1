import { createHash } from 'node:crypto'
import { and, eq, sql } from 'drizzle-orm'
import type { Db } from '../database/db.ts'
import { notExpired } from '../database/expiry.ts'
import { ownerOfId } from '../database/owner.ts'
import { batch, statement } from '../database/statement.ts'
import { StorageError } from '../errors.ts'
import type { Json } from '../schema/values.ts'
import { idSchema, parseInput } from '../validation/input.ts'
import { jsonSchema } from '../validation/json.ts'
import type { RepositoryContext } from './context.ts'
import { allocateSeqs } from './messages/append.ts'
import { activityAt } from './sessions/activity.ts'
import { cachedRowsOf, retryWithoutExpired } from './sessions/removal.ts'
import type { SessionSummary } from './sessions/types.ts'
import { inUnexpiredSession, isUnexpiredSession } from './sessions/unexpired.ts'

interface Operation {
  sessionId: string
  id: string
  payloadHash: string
  now: Date
}

const insertOperation = statement((db, { sessionId, id, payloadHash, now }: Operation) => {
  const { sessionOperations: o, sessions: s } = db.tables
  const ownerId = ownerOfId(db, s, sessionId, notExpired(s, now))
  return db.orm
    .insert(o)
    .values({ sessionId, ownerId, id, payloadHash, createdAt: now })
    .onConflictDoNothing()
    .returning({ id: o.id })
})

const selectOperation = statement((db, arg: Operation) => {
  const { sessionOperations: o } = db.tables
  return db.orm
    .select({ payloadHash: o.payloadHash })
    .from(o)
    .where(and(inUnexpiredSession(db, o, arg.sessionId, arg.now), eq(o.id, arg.id)))
})

const lockSummary = statement((db, arg: { id: string; now: Date }) => {
  const { sessions: s } = db.tables
  return db.orm
    .update(s)
    .set({ lastSeq: sql`${s.lastSeq}` })
    .where(isUnexpiredSession(db, arg.id, arg.now))
    .returning()
})

/**
 * Records an operation of a session, and creates the session if needed. Its row stays locked, so of two transactions that
 * do the same operation the second waits, and finds it done.
 */
export async function recordOperation(
  db: Db,
  { cache, now: clock }: RepositoryContext,
  sessionId: string,
  operationId: string,
  payload: unknown,
): Promise<'first' | 'repeated'> {
  parseInput(idSchema, sessionId, 'sessionId')
  parseInput(idSchema, operationId, 'operationId')
  const payloadHash = hashOf(parseInput(jsonSchema, payload, 'payload'))
  const now = clock()
  const operation = { sessionId, id: operationId, payloadHash, now }
  const record = () =>
    batch(db, [
      allocateSeqs.with({ sessionId, metadata: {}, ...activityAt(now), count: 0 }),
      insertOperation.with(operation),
      selectOperation.with(operation),
    ])
  const [, inserted, [stored]] = await cache.writeIfNew(
    cachedRowsOf(sessionId),
    () => retryWithoutExpired(db, { id: sessionId, now }, record),
    () => ({ created: true }),
  )
  if (stored !== undefined && stored.payloadHash !== payloadHash) {
    throw new StorageError('INVALID_STATE', 'An operation of this id was done with another payload')
  }
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

/** Hashes a JSON value. The order of an object's keys does not matter. */
function hashOf(value: Json): string {
  const sorted = (_: string, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item
  return createHash('sha256').update(JSON.stringify(value, sorted)).digest('hex')
}
