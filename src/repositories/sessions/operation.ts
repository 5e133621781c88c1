import { createHash } from 'node:crypto'
import { and, eq, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { notExpired } from '../../database/expiry.ts'
import { ownerOfId } from '../../database/owner.ts'
import { type Builder, statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { Json } from '../../schema/values.ts'
import { inUnexpiredSession, isUnexpiredSession } from './unexpired.ts'

/** An operation of a session, which is done once. */
export interface Operation {
  sessionId: string
  id: string
  payloadHash: string
  now: Date
}

/**
 * Makes the row of an operation. Its session is null, and so the insert fails, if there is no such session or if it has
 * expired.
 */
function rowOf(db: Builder, { sessionId: session, id, payloadHash, now }: Operation) {
  const { sessions: s } = db.tables
  const sessionId = sql`(select ${s.id} from ${s} where ${isUnexpiredSession(db, session, now)})`
  return { sessionId, ownerId: ownerOfId(db, s, session, notExpired(s, now)), id, payloadHash, createdAt: now }
}

/** Inserts nothing if the operation was done before. */
export const insertOperation = statement((db, operation: Operation) => {
  const { sessionOperations: o } = db.tables
  return db.orm.insert(o).values(rowOf(db, operation)).onConflictDoNothing().returning({ id: o.id })
})

/** Fails, and so ends the batch, if the operation was done before. */
const claimOperation = statement((db, operation: Operation) =>
  db.orm.insert(db.tables.sessionOperations).values(rowOf(db, operation)),
)

/** Returns the calls that claim an operation, if one is given. They belong after the call that locks the session. */
export function claimsOf(operation: Operation | undefined) {
  return operation === undefined ? [] : [claimOperation.with(operation)]
}

/**
 * Returns true if the operation was done before.
 *
 * @throws {INVALID_STATE} when it was done with another payload
 */
export async function wasDone(db: Db, operation: Operation): Promise<boolean> {
  const stored = await selectOperation.first(db, operation)
  if (stored !== undefined && stored.payloadHash !== operation.payloadHash) throw otherPayload()
  return stored !== undefined
}

export const selectOperation = statement((db, arg: Operation) => {
  const { sessionOperations: o } = db.tables
  return db.orm
    .select({ payloadHash: o.payloadHash })
    .from(o)
    .where(and(inUnexpiredSession(db, o, arg.sessionId, arg.now), eq(o.id, arg.id)))
})

/** Makes an operation of a session. */
export function operationOf(
  { sessionId, now }: { sessionId: string; now: Date },
  id: string,
  payload: Json,
): Operation {
  return { sessionId, id, payloadHash: hashOf(payload), now }
}

/** Makes the error for an operation that was done with another payload. */
export function otherPayload(): StorageError {
  return new StorageError('INVALID_STATE', 'An operation of this id was done with another payload')
}

/** Hashes a JSON value. The order of an object's keys does not matter. */
function hashOf(value: Json): string {
  const sorted = (_: string, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item
  return createHash('sha256').update(JSON.stringify(value, sorted)).digest('hex')
}
